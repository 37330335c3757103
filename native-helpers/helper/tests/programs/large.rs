//! An office program and browsers: hundreds of megabytes to install, dozens of processes and threads each.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::displays::{Display, differ};
use crate::helper::call;
use crate::running::{folder, program, rounds, until, ways};

/// What a form's page says of itself by its title, so that it can be seen from outside.
const FORM: &str = "<!doctype html><title>empty</title><input id=field autofocus size=60>\
                    <script>const field = document.getElementById('field');\
                    setInterval(() => { document.title = 'filled ' + field.value }, 50)</script>";

/// A document in one file, as text.
const LETTER: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <office:document xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" \
    xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" office:version=\"1.3\" \
    office:mimetype=\"application/vnd.oasis.opendocument.text\"><office:body><office:text>\
    <text:p>Dear reader</text:p></office:text></office:body></office:document>";

pub fn libreoffice() {
    program("soffice", &[]);
    let folder = folder();
    let letter = folder.path().join("letter.fodt");
    fs::write(&letter, LETTER).expect("write the letter");
    let client = "soffice --writer --norestore --nologo --nolockcheck letter.fodt";
    let mut display = Display::start_with(folder, client, |_| {});
    titled(&display, "letter.fodt");
    display.settled();
    for (round, way) in ways(true).enumerate() {
        let before = display.settled();
        display.types(&format!("word{round}, "));
        until("the program draws what is typed", || differ(&display.screen(), &before).then_some(()));
        display.settled();
        display.running.take(way);
        assert!(
            !fs::read_to_string(&letter).unwrap().contains("word0"),
            "it was saved before it was asked to"
        );
    }
    display.settled();
    display.key("ctrl+s");
    until("all that was typed is saved", || {
        let saved = fs::read_to_string(&letter).ok()?;
        (0..rounds()).all(|round| saved.to_lowercase().contains(&format!("word{round},"))).then_some(())
    });
}

pub fn firefox() {
    program("firefox-esr", &[]);
    form(browser(FIREFOX, |command| {
        command.env("MOZ_ASSUME_USER_NS", "0");
    }));
}

pub fn firefox_sandboxed() {
    program("firefox-esr", &[]);
    refused(browser(FIREFOX, |_| {}));
}

pub fn chromium() {
    program("chromium", &[]);
    form(browser(&format!("{CHROMIUM} --no-sandbox form.html"), |_| {}));
}

pub fn chromium_sandboxed() {
    program("chromium", &[]);
    // Nobody: it refuses to run as root with its sandbox.
    refused(browser(&format!("setpriv --reuid 65534 --clear-groups {CHROMIUM} form.html"), |_| {}));
}

const FIREFOX: &str = "firefox-esr --no-remote --profile profile form.html";
const CHROMIUM: &str = "chromium --no-first-run --user-data-dir=profile --disable-gpu";

/// A browser that shows the form.
fn browser(client: &str, prepare: impl FnOnce(&mut Command)) -> Display {
    let folder = folder();
    fs::write(folder.path().join("form.html"), FORM).expect("write the form");
    let profile = folder.path().join("profile");
    fs::create_dir(&profile).expect("create the profile");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&profile, open).expect("open the profile to every user");
    let display = Display::start_with(folder, client, |command| {
        // A browser's crash handler leaves the tree as an orphan: it stays below a subreaper, as in a capsule.
        // SAFETY: prctl is safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
                Ok(())
            });
        }
        prepare(command);
    });
    titled(&display, "filled");
    display
}

/// Fills the form in, a word each round, and is told by the page itself what is in it.
fn form(mut display: Display) {
    let mut words = String::from("filled");
    for (round, way) in ways(true).enumerate() {
        words += &format!(" {round}");
        display.types(&format!("{round} "));
        titled(&display, &words);
        display.running.take(way);
        titled(&display, &words);
    }
    display.types("end");
    titled(&display, &format!("{words} end"));
}

/// `inspect` and a capture say what stands in the way, and the program goes on.
fn refused(mut display: Display) {
    display.types("half");
    titled(&display, "filled half");
    let pid = display.running.root.to_string();
    let image = display.running.path("image");
    let image = image.to_str().expect("a path in UTF-8");
    let inspected = call(&["inspect", "--pid", &pid]).done("inspect").expect("inspect");
    assert!(inspected.to_string().contains("\"namespace\""), "{inspected}");
    let refusal = call(&["capture", "--pid", &pid, "--image", image, "--stop"]).done("capture");
    let refusal = refusal.expect_err("a capture of namespaces of its own");
    assert!(refusal.contains("namespace"), "{refusal}");
    assert!(display.running.runs());
    display.types(" more");
    titled(&display, "filled half more");
}

/// Waits until a window has a title that begins so.
fn titled(display: &Display, title: &str) {
    until(&format!("a window with the title {title}"), || {
        display.titles().iter().any(|is| is.starts_with(title)).then_some(())
    });
}
