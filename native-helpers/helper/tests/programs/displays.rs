//! Programs with windows: the X server is part of the tree, so that pixels, windows and unsaved text come back
//! with it.

use std::process::{Command, Stdio};

use crate::running::{Running, folder, output, program, until, ways};

/// A display with one program on it.
pub struct Display {
    pub running: Running,
    number: u32,
}

impl Display {
    /// Starts the X server and, once it answers, the program, whose window is waited for.
    fn start(client: &str) -> Self {
        Self::start_with(folder(), client, |_| {})
    }

    /// The same in a folder that has files already, by a command that is prepared further.
    pub fn start_with(folder: tempfile::TempDir, client: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        program("Xvnc", &[]);
        let number = 100 + std::process::id() % 800;
        let script = format!(
            "Xvnc :{number} -geometry 800x600 -depth 24 -SecurityTypes None -rfbport -1 \
                 -rfbunixpath \"$HOME/vnc\" -nolisten tcp &\n\
             until xdpyinfo >/dev/null 2>&1; do sleep 0.05; done\n\
             {client} &\n\
             wait"
        );
        let home = folder.path().to_owned();
        let mut command = Command::new("bash");
        command.args(["-c", &script]);
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &home).env("DISPLAY", format!(":{number}"));
        // A session bus would start services that are not children of this tree.
        command.env("GSETTINGS_BACKEND", "memory").env("NO_AT_BRIDGE", "1").env("GDK_BACKEND", "x11");
        command.env("DBUS_SESSION_BUS_ADDRESS", "disabled:").env("LANG", "C.UTF-8");
        prepare(&mut command);
        let display = Self { running: Running::start(folder, &mut command), number };
        until("the program's window", || (!display.windows().is_empty()).then_some(()));
        display
    }

    fn x(&self, command: &str, args: &[&str]) -> Command {
        let mut it = Command::new(command);
        it.args(args).env("DISPLAY", format!(":{}", self.number));
        it
    }

    fn windows(&self) -> Vec<String> {
        self.visible(&[])
    }

    pub fn titles(&self) -> Vec<String> {
        self.visible(&["getwindowname", "%@"])
    }

    /// What xdotool(1) says of the visible windows, a line each.
    fn visible(&self, command: &[&str]) -> Vec<String> {
        let found = self
            .x("xdotool", &["search", "--onlyvisible", "--name", "."])
            .args(command)
            .stderr(Stdio::null())
            .output()
            .expect("run xdotool");
        String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
    }

    pub fn key(&self, key: &str) {
        output(&mut self.x("xdotool", &["key", key]));
    }

    /// All pixels.
    pub fn screen(&self) -> Vec<u8> {
        let picture = self.x("xwd", &["-root", "-silent"]).output().expect("run xwd");
        assert!(picture.status.success(), "no picture of the screen");
        pixels(&picture.stdout)
    }

    /// Waits until the screen is the same for a while, thrice in a row: what a program draws on a busy machine may
    /// be late.
    pub fn settled(&self) -> Vec<u8> {
        let mut last = self.screen();
        let mut looks = 0;
        until("the screen stands still", || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            let now = self.screen();
            looks = if differ(&now, &last) { 0 } else { looks + 1 };
            last = now;
            (looks == 3).then_some(())
        });
        last
    }

    pub fn types(&self, text: &str) {
        let window = self.windows().pop().expect("a window");
        // No window manager gives the focus.
        output(&mut self.x("xdotool", &["windowfocus", &window]));
        output(&mut self.x("xdotool", &["type", "--delay", "20", text]));
    }

    /// Takes the display through its rounds: whatever is typed afterwards changes the screen.
    fn rounds(mut self) {
        for (round, way) in ways(true).enumerate() {
            let windows = self.windows();
            self.running.take(way);
            assert_eq!(self.windows(), windows, "the windows");
            let before = self.settled();
            self.types(&format!("round {round} "));
            until("the program draws what is typed", || differ(&self.screen(), &before).then_some(()));
        }
    }
}

/// The pixels of what xwd(1) wrote: its last bytes. The colour map before them has padding that xwd never sets, so
/// that two pictures of one screen may differ there.
fn pixels(picture: &[u8]) -> Vec<u8> {
    // XWDFile.h: the header is of big-endian numbers, the sixth the height, the thirteenth the bytes of a line.
    let number = |index: usize| {
        let bytes = picture[index * 4..][..4].try_into().expect("four bytes");
        u32::from_be_bytes(bytes) as usize
    };
    picture[picture.len() - number(5) * number(12)..].to_vec()
}

/// Whether two pictures differ by more than a text cursor, which blinks, is large.
pub fn differ(one: &[u8], other: &[u8]) -> bool {
    const PIXEL: usize = 4;
    const CURSOR: usize = 2 * 24;
    let pairs = one.chunks(PIXEL).zip(other.chunks(PIXEL));
    one.len() != other.len() || pairs.filter(|(a, b)| a != b).count() > CURSOR
}

pub fn xterm() {
    let display = Display::start("xterm -e bash --norc");
    let marker = display.running.path("told");
    let told = |what: &str| {
        until("the shell does what is typed", || {
            (std::fs::read_to_string(&marker).ok()?.trim() == what).then_some(())
        });
    };
    display.types(&format!("word=kept; clear; echo ready > {}\n", marker.display()));
    told("ready");
    let mut display = display;
    for (round, way) in ways(true).enumerate() {
        let before = display.settled();
        display.running.take(way);
        assert!(!differ(&display.settled(), &before), "the screen has changed");
        display.types(&format!("echo {round}$word > {}\n", marker.display()));
        told(&format!("{round}kept"));
    }
}

pub fn tk() {
    let program = "import tkinter; window = tkinter.Tk(); window.title('tk'); \
                   entry = tkinter.Entry(window, insertofftime=0); entry.pack(); entry.focus_force(); \
                   window.mainloop()";
    Display::start(&format!("/usr/bin/python3 -c \"{program}\"")).rounds();
}

pub fn gtk() {
    program("mousepad", &[]);
    let display = Display::start("mousepad --disable-server");
    display.types("unsaved text ");
    display.rounds();
}

pub fn qt() {
    program("featherpad", &[]);
    let display = Display::start("featherpad --standalone");
    display.types("unsaved text ");
    display.rounds();
}
