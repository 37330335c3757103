//! In an ordinary folder: neither the walk nor the making needs a mount.

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

fn make_again(entries: &[ScratchEntry], from: &Path, to: &Path) -> Result<()> {
    let moved: Vec<ScratchEntry> = entries
        .iter()
        .cloned()
        .map(|mut entry| {
            let move_path = |p: &Path| to.join(p.strip_prefix(from).unwrap());
            entry.path = move_path(&entry.path);
            if let ScratchKind::HardLink { to } = &mut entry.kind {
                *to = move_path(to);
            }
            entry
        })
        .collect();
    let roots = Roots::open(&[to.to_owned()])?;
    moved.iter().try_for_each(|e| roots.make(e))?;
    moved.iter().rev().try_for_each(|e| roots.finish(e))
}

fn without_inodes(mut survey: Survey, base: &Path) -> Vec<String> {
    for entry in &mut survey.entries {
        if let ScratchKind::File { inode, .. } = &mut entry.kind {
            *inode = 0;
        }
    }
    survey.entries.iter().map(|e| format!("{e:?}").replace(base.to_str().unwrap(), "")).collect()
}

#[test]
fn everything_but_contents_comes_back() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| old.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/file"), "12345").unwrap();
    fs::hard_link(at("folder/file"), at("link")).unwrap();
    symlink("/somewhere/else", at("symbolic")).unwrap();
    rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::write(at("odd \\ name\n"), "").unwrap();
    fs::set_permissions(at("folder"), fs::Permissions::from_mode(0o1751)).unwrap();
    fs::File::open(at("folder/file")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();

    let survey = survey_of(&[old.path().to_owned()]).unwrap();
    assert_eq!(survey.left_out, [at("socket")]);
    assert_eq!(survey.entries.len(), 6);
    make_again(&survey.entries, old.path(), new.path()).unwrap();
    let again = survey_of(&[new.path().to_owned()]).unwrap();
    assert_eq!(without_inodes(survey, old.path()), without_inodes(again, new.path()));
    assert_eq!(fs::read(new.path().join("link")).unwrap(), [0; 5]);
    let (first, second) =
        (fs::metadata(new.path().join("link")), fs::metadata(new.path().join("folder/file")));
    assert_eq!(first.unwrap().ino(), second.unwrap().ino());
}

#[test]
fn a_forged_entry_reaches_nothing_outside() {
    let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let entry = |path: PathBuf, kind| ScratchEntry {
        path,
        kind,
        mode: 0o777,
        uid: 0,
        gid: 0,
        modified_s: 0,
        modified_ns: 0,
    };
    let file = || ScratchKind::File { size: 1, inode: 1 };
    let roots = Roots::open(&[place.path().to_owned()]).unwrap();
    let link = ScratchKind::SymbolicLink { target: outside.path().to_owned() };
    roots.make(&entry(place.path().join("link"), link)).unwrap();
    for path in [
        place.path().join("link/file"),
        place.path().join("../file"),
        place.path().join("folder/../../file"),
        outside.path().join("file"),
        place.path().to_owned(),
        "relative".into(),
    ] {
        assert!(roots.make(&entry(path.clone(), file())).is_err(), "{path:?}");
        assert!(roots.finish(&entry(path.clone(), file())).is_err(), "{path:?}");
    }
    let hard = ScratchKind::HardLink { to: outside.path().join("x") };
    assert!(roots.make(&entry(place.path().join("hard"), hard)).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn only_the_capsules_own_mounts_count() {
    let own = "68 43 0:43 / /tmp rw,nosuid,nodev,relatime - tmpfs torpor rw";
    assert_eq!(own_place(own), Some("/tmp".into()));
    assert_eq!(own_place(&own.replace("torpor", "tmpfs")), None);
    assert_eq!(own_place(&own.replace("- tmpfs", "- ext4")), None);
}
