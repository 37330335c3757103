//! Capsules through the command line: run, inspect, capture, and how they end.

use std::path::Path;

use serde_json::Value;

use crate::call::Call;
use crate::home::{Home, text};
use crate::program::eventually;

fn comm(pid: &Value) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

const LOOP: [&str; 3] = ["sh", "-c", "while :; do sleep 0.05; done"];

#[test]
fn a_capsule_runs_is_inspected_and_ends_with_its_program() {
    let home = Home::new();
    let started = home.call(&[&["run", "--capsule", "ward", "--tty", "--"][..], &LOOP].concat()).result();
    assert_eq!(started["capsule"], "ward");
    assert_eq!(comm(&started["rootPid"]), "sh");
    home.call(&["run", "--capsule", "ward", "--", "true"]).error(6, "busy");

    let found = home.call(&["inspect", "--capsule", "ward"]).result();
    // The caller's numbers.
    assert_eq!(found["rootPid"], started["rootPid"]);
    assert_eq!(found["processes"][0]["ppid"], started["initPid"]);
    assert_eq!(found["blockers"], serde_json::json!([]), "{found}");
    assert!(found["sizes"]["physicalBytes"].as_u64().unwrap() > 0);
    // The same tree by its PID.
    let found = home.call(&["inspect", "--pid", &started["rootPid"].to_string()]).result();
    assert_eq!(found["rootPid"], started["rootPid"]);

    let image = home.file("a.torpor");
    let report = home
        .call(&["capture", "--capsule", "ward", "--image", text(&image), "--meta", "application=ward"])
        .result();
    assert_eq!(report["stopped"], false);
    assert_eq!(comm(&started["rootPid"]), "sh");
    let shown = home.call(&["show", "--image", text(&image), "--tree"]).result();
    assert_eq!((&shown["terminal"], &shown["application"]["id"]), (&true.into(), &"ward".into()));
    assert_eq!(shown["tree"]["processes"][0]["pid"], 2);
    assert_eq!(shown["tree"]["terminal"]["columns"], 80);

    let image = home.file("b.torpor");
    let report = home.call(&["capture", "--capsule", "ward", "--image", text(&image), "--stop"]).result();
    assert_eq!(report["stopped"], true);
    let exit = home.json("ward", "exit.json").expect("the end is written down before the capture returns");
    assert_eq!(exit["reason"], "hibernated");
    eventually("the root is gone", || comm(&started["rootPid"]) != "sh");
    home.call(&["inspect", "--capsule", "ward"]).error(5, "no-such-capsule");
}

#[test]
fn rings_of_io_uring_are_not_there_unless_they_are_allowed() {
    let home = Home::new();
    let tell = "import ctypes, time\n\
                c = ctypes.CDLL(None, use_errno=True)\n\
                fd = c.syscall(425, 8, ctypes.create_string_buffer(120))\n\
                print(fd, ctypes.get_errno(), flush=True)\n\
                while True: time.sleep(0.05)\n";
    let run = |id: &str, words: &[&str]| {
        let start = ["run", "--capsule", id];
        let started = home.call(&[&start, words, &["--", "python3", "-c", tell]].concat()).result();
        let log = home.path().join("run/capsules").join(id).join("output.log");
        eventually("it tells", || std::fs::read_to_string(&log).is_ok_and(|told| told.ends_with('\n')));
        (started, std::fs::read_to_string(&log).unwrap())
    };
    let (started, told) = run("refused", &[]);
    assert_eq!(told.trim(), format!("-1 {}", libc::ENOSYS));
    // By a filter alone: programs that change their user (sudo) still can.
    let status = std::fs::read_to_string(format!("/proc/{}/status", started["rootPid"])).unwrap();
    assert!(status.contains("NoNewPrivs:\t0\n") && status.contains("Seccomp_filters:\t1\n"), "{status}");
    let (_, told) = run("allowed", &["--allow-io-uring"]);
    assert!(!told.starts_with("-1"), "{told}");
    let found = home.call(&["inspect", "--capsule", "allowed"]).result();
    assert_eq!(found["blockers"][0]["code"], "io-uring");

    // An ordinary user's filter is carried too, though that user may not set one.
    let image = home.file("user.torpor");
    home.call(&["run", "--capsule", "user.1", "--user", "65534:65534", "--cwd", "/", "--", "sleep", "1000"])
        .result();
    home.call(&["capture", "--capsule", "user.1", "--image", text(&image), "--stop"]).result();
    let back = home.call(&["restore", "--image", text(&image), "--capsule", "user.2"]).result();
    let status = std::fs::read_to_string(format!("/proc/{}/status", back["rootPid"])).unwrap();
    assert!(status.contains("NoNewPrivs:\t0\n") && status.contains("Seccomp_filters:\t1\n"), "{status}");
    assert!(status.contains("Uid:\t65534\t65534"), "{status}");
}

#[test]
fn a_capsules_blocker_is_named_in_the_callers_numbers() {
    let home = Home::new();
    let script = "exec 3<>/dev/cpu_dma_latency; while :; do sleep 0.05; done";
    let started = home.call(&["run", "--capsule", "ward", "--", "sh", "-c", script]).result();
    eventually("the program has it open", || {
        Path::new(&format!("/proc/{}/fd/3", started["rootPid"])).is_symlink()
    });
    let image = home.file("a.torpor");
    let error = home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).error(3, "blocked");
    assert_eq!(error["blockers"][0]["pid"], started["rootPid"]);
    assert_eq!(comm(&started["rootPid"]), "sh");
    assert!(!image.exists());
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let home = Home::new();
    let error = home.call(&["run", "--capsule", "ward", "--", "no-such-program-anywhere"]).error(2, "usage");
    assert!(error["message"].as_str().unwrap().contains("no-such-program-anywhere"), "{error}");
    assert!(home.json("ward", "capsule.json").is_none());
}

#[test]
fn a_killed_helper_leaves_a_capsule_as_it_was() {
    let home = Home::new();
    let script = "import time\nheld = bytearray(b'torpor') * (50 << 20)\nwhile True: time.sleep(0.01)";
    let started = home.call(&["run", "--capsule", "ward", "--tty", "--", "python3", "-c", script]).result();
    let pid = &started["rootPid"];
    let status = |field: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let value = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
        value.and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    eventually("the program holds its memory", || status("VmRSS") > 300_000);
    let image = home.file("a.torpor");
    let args = ["capture", "--capsule", "ward", "--compress", "zstd", "--image", text(&image)];
    let mut capture = Call::start(Some(home.path()), &args);
    assert!(capture.wait_for(|line| line["phase"] == "memory"));
    let _ = std::process::Command::new("kill").args(["-s", "KILL", &capture.pid().to_string()]).status();
    assert_eq!(capture.end().status, None);
    eventually("nobody traces the program", || status("TracerPid") == 0);
    let before = status("voluntary_ctxt_switches");
    eventually("the program runs on", || status("voluntary_ctxt_switches") > before);
    assert!(!image.exists());
    // And the capsule can be captured again.
    home.call(&args).result();
}

/// A window that says in a file what the X server knows of it, twice a second or so.
const WINDOW: &str = "
import os, socket, tkinter
window = tkinter.Tk()
window.title('kept')
window.geometry('200x100+40+30')
def tell():
    text = ' '.join([window.geometry(), window.tk.call('wm', 'title', '.'), str(window.winfo_screenwidth()), str(window.winfo_rgb('red'))])
    with open(os.environ['TOLD'] + '.new', 'w') as file: file.write(text)
    os.rename(os.environ['TOLD'] + '.new', os.environ['TOLD'])
    window.after(50, tell)
tell()
window.mainloop()
";

/// The first bytes that a viewer is sent.
fn greeting(socket: &Path) -> (std::os::unix::net::UnixStream, Vec<u8>) {
    use std::io::Read;
    let mut viewer = std::os::unix::net::UnixStream::connect(socket).expect("connect to the display");
    viewer.set_read_timeout(Some(std::time::Duration::from_secs(30))).expect("set a limit");
    let mut greeting = vec![0; 12];
    viewer.read_exact(&mut greeting).expect("a greeting");
    (viewer, greeting)
}

/// A command of X's, asking the capsule's display from within.
fn ask_display(init: &Value, name: &str, words: &[&str]) -> String {
    let mut command = std::process::Command::new("nsenter");
    command.args(["-t", &init.to_string(), "-m", "--"]).args(words).env("DISPLAY", name);
    let answer = command.output().expect("run nsenter");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

#[test]
fn a_private_display_comes_back_with_its_windows() {
    let home = Home::new();
    let told = home.file("told");
    let variable = format!("TOLD={}", text(&told));
    let words = [
        "run",
        "--capsule",
        "ward",
        "--display",
        "640x480",
        "--env",
        &variable,
        "--env",
        "XAUTHORITY=/none",
        "--",
        "/usr/bin/python3",
        "-c",
        WINDOW,
    ];
    let started = home.call(&words).result();
    assert_eq!(home.json("ward", "capsule.json").unwrap()["display"], "640x480");
    let variables = std::fs::read(format!("/proc/{}/environ", started["rootPid"])).unwrap();
    let variables = String::from_utf8_lossy(&variables).into_owned();
    assert!(!variables.contains("XAUTHORITY"), "{variables}");
    let name = variables.split('\0').find_map(|v| v.strip_prefix("DISPLAY=")).expect("a display").to_owned();
    eventually("the window is drawn", || told.exists());
    assert!(std::fs::read_to_string(&told).unwrap().contains("kept 640"));
    let window = || ask_display(&started["initPid"], &name, &["xwininfo", "-name", "kept"]);
    assert!(window().contains("Width: 200"), "{}", window());

    // It listens by two paths and nowhere else.
    let abstract_name = format!("@/tmp/.X11-unix/X{}", &name[1..]);
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    let held: Vec<&str> = table.lines().filter(|l| l.ends_with(&abstract_name)).collect();
    // Not listening (the flag 00010000): who connects is refused.
    assert!(held.len() == 1 && !held[0].contains(" 00010000 "), "{held:?}");

    let folder = |id: &str| home.path().join("run/capsules").join(id).join("ctl/display.sock");
    let (viewer, said) = greeting(&folder("ward"));
    assert!(said.starts_with(b"RFB 003."), "{said:?}");
    let found = home.call(&["inspect", "--capsule", "ward"]).result();
    assert_eq!(found["blockers"], serde_json::json!([]), "{found}");
    let image = home.file("a.torpor");
    home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).result();
    let second = home.file("b.torpor");
    home.call(&["capture", "--capsule", "ward", "--image", text(&second), "--stop"]).result();
    drop(viewer);

    for (image, id) in [(&image, "again"), (&second, "once-more")] {
        std::fs::remove_file(&told).unwrap();
        let restored = home.call(&["restore", "--image", text(image), "--capsule", id]).result();
        assert_eq!(home.json(id, "capsule.json").unwrap()["display"], "640x480");
        eventually("the window goes on", || told.exists());
        let asked = ask_display(&restored["initPid"], &name, &["xwininfo", "-name", "kept"]);
        assert!(asked.contains("Width: 200"), "{asked}");
        let (_viewer, said) = greeting(&folder(id));
        assert!(said.starts_with(b"RFB 003."), "{said:?}");
        // And again, with a viewer.
        let third = home.file(&format!("{id}.torpor"));
        home.call(&["capture", "--capsule", id, "--image", text(&third), "--stop"]).result();
    }
}

#[test]
fn a_display_that_can_not_be_is_refused_in_words() {
    let home = Home::new();
    for size in ["0x0", "63x64", "7681x4320", "big", "800x600x24"] {
        let error =
            home.call(&["run", "--capsule", "ward", "--display", size, "--", "true"]).error(2, "usage");
        assert!(error["message"].as_str().unwrap().contains("64x64"), "{error}");
    }
    let without_server = |words: &[&str]| {
        let mut command = std::process::Command::new(crate::call::binary());
        command.args(words).env("TORPOR_HOME", home.path()).env("PATH", "/nowhere");
        let said = command.output().expect("run the helper");
        (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    let (status, said) =
        without_server(&["run", "--capsule", "ward", "--display", "800x600", "--", "/bin/true"]);
    assert_eq!(status, Some(6), "{said}");
    assert!(said.contains("apt-get install tigervnc-standalone-server"), "{said}");
    assert!(!home.path().join("run/capsules/ward").exists());
    let (_, said) = without_server(&["check"]);
    let said: Value = serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
    let feature = said["features"].as_array().and_then(|all| all.iter().find(|f| f["name"] == "display"));
    let feature = feature.expect("the feature");
    assert_eq!(
        (&feature["ok"], &feature["remedy"]),
        (&false.into(), &"apt-get install tigervnc-standalone-server".into())
    );
}

#[test]
fn an_environment_from_a_file_is_on_no_command_line() {
    let home = Home::new();
    let file = home.file("environment");
    std::fs::write(&file, "SECRET=opens sesame\0TWO=from the file\0").unwrap();
    let words = ["run", "--capsule", "ward", "--env-from", text(&file), "--env", "TWO=as given", "--"];
    let started = home.call(&[&words[..], &["sleep", "1000"]].concat()).result();
    let of = |pid: &Value, what: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{what}")).unwrap()).into_owned()
    };
    let root = of(&started["rootPid"], "environ");
    assert!(root.contains("SECRET=opens sesame\0") && root.contains("TWO=as given\0"), "{root}");
    assert!(!of(&started["initPid"], "cmdline").contains("sesame"));

    for (content, reason) in
        [("NO EQUALS\0", "NO EQUALS"), (&*format!("A={}\0", "a".repeat(2 << 20)), "more than")]
    {
        std::fs::write(&file, content).unwrap();
        let words = ["run", "--capsule", "other", "--env-from", text(&file), "--", "true"];
        let said = home.call(&words).error(2, "usage");
        assert!(said["message"].as_str().unwrap().contains(reason), "{said}");
    }
    let missing = home.file("missing");
    home.call(&["run", "--capsule", "other", "--env-from", text(&missing), "--", "true"]).error(2, "usage");
}

/// A window all of one colour, that says when it is drawn.
const RED: &str = "
import os, tkinter
window = tkinter.Tk()
window.configure(background='#ff0000')
window.geometry('640x480+0+0')
window.update()
window.after(200, lambda: open(os.environ['TOLD'], 'w').close())
window.mainloop()
";

/// Runs [`RED`] on a display of its own, and waits until it is drawn.
fn red_display(home: &Home) -> Value {
    let told = home.file("told");
    let variable = format!("TOLD={}", text(&told));
    let run = ["run", "--capsule", "ward", "--display", "640x480", "--env", &variable];
    let started = home.call(&[&run[..], &["--", "/usr/bin/python3", "-c", RED]].concat()).result();
    eventually("the window is drawn", || told.exists());
    started
}

#[test]
fn an_image_has_a_picture_of_its_display() {
    let home = Home::new();
    red_display(&home);
    let image = home.file("a.torpor");
    let captured = home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).result();
    assert_eq!(captured["notes"], serde_json::json!([]), "{captured}");
    let file = home.file("a.png");
    std::fs::write(&file, "an older one").unwrap();
    let shown = home.call(&["show", "--image", text(&image), "--picture", text(&file)]).result();
    assert_eq!((&shown["picture"], &shown["display"]), (&"png".into(), &"640x480".into()));
    let picture = serde_json::json!({ "format": "png", "width": 640, "height": 480 });
    assert_eq!(shown["pictureFile"], serde_json::json!({ "path": text(&file), "picture": picture }));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&file).unwrap()))
        .read_info()
        .expect("a picture");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("pixels");
    let red = pixels.chunks_exact(3).filter(|p| **p == [255, 0, 0]).count();
    // But for the pointer, and what a toolkit puts at the edges.
    assert!(red > 640 * 480 * 9 / 10, "{red} red pixels");

    let error = home.call(&["show", "--image", text(&image), "--picture", text(home.path())]);
    assert!(error.error(2, "usage")["message"].as_str().unwrap().contains("is a folder"));
    let nowhere = home.file("nowhere/a.png");
    home.call(&["show", "--image", text(&image), "--picture", text(&nowhere)]).error(6, "resource");
}

#[test]
fn a_display_that_hangs_costs_the_picture_and_not_the_capture() {
    let home = Home::new();
    let started = red_display(&home);
    let init = started["initPid"].as_i64().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
    let server: i32 = children
        .split_whitespace()
        .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().contains("vnc"))
        .expect("the display's server")
        .parse()
        .unwrap();
    let server = rustix::process::Pid::from_raw(server).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::STOP).unwrap();
    let image = home.file("a.torpor");
    let captured = home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).result();
    let notes = captured["notes"].to_string();
    assert!(notes.contains("no picture of the display: it does not answer"), "{captured}");
    rustix::process::kill_process(server, rustix::process::Signal::CONT).unwrap();

    let file = home.file("a.png");
    let error = home.call(&["show", "--image", text(&image), "--picture", text(&file)]);
    let error = error.error(6, "no-picture");
    assert!(error["message"].as_str().unwrap().contains("did not answer"), "{error}");
    assert!(!file.exists());
}

#[test]
fn a_terminal_is_drawn_from_its_image() {
    let home = Home::new();
    let script = "printf '\\033[1;31mBed 4: <asleep>\\033[0m'; exec sleep 600";
    home.call(&["run", "--capsule", "ward", "--tty", "--size", "40x5", "--", "/bin/sh", "-c", script])
        .result();
    let image = home.file("a.torpor");
    let file = home.file("a.svg");
    eventually("the terminal shows it", || {
        let _ = std::fs::remove_file(&image);
        home.call(&["capture", "--capsule", "ward", "--image", text(&image)]).result();
        let shown = home.call(&["show", "--image", text(&image), "--picture", text(&file)]).result();
        assert_eq!(shown["picture"], "svg");
        let svg = std::fs::read_to_string(&file).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        svg.contains(r#"font-weight="bold">Bed 4: &lt;asleep&gt;</text>"#)
    });

    // What has neither has no picture.
    home.call(&["run", "--capsule", "quiet", "--", "/bin/sleep", "600"]).result();
    let image = home.file("quiet.torpor");
    home.call(&["capture", "--capsule", "quiet", "--image", text(&image)]).result();
    let shown = home.call(&["show", "--image", text(&image)]).result();
    assert_eq!(shown["picture"], Value::Null);
    home.call(&["show", "--image", text(&image), "--picture", text(&file)]).error(6, "no-picture");
}
