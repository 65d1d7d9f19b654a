//! Where the vectors are, and what is wrong with a folder of them.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files of a folder, without `.json`.
pub const FILES: [&str; 16] = [
    "action_strings",
    "add_hotplug_env_var",
    CONSTANTS,
    "do_fork",
    "fork_init",
    "kobject_fork",
    "kobject_hotplug",
    "kobject_lifecycle",
    "kobject_path",
    "kobject_uevent",
    "netlink_broadcast",
    "pidmap",
    "send_uevent",
    "set_name",
    "skb",
    "uevent_init",
];

/// The one file that another folder may lack: its numbers are those of the kernel, whatever the cases are.
const CONSTANTS: &str = "constants";

/// The folder that comes with the project.
fn built_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vectors")
}

/// The folder of this run.
///
/// # Panics
/// If `FORKLAB_VECTORS` is set and empty.
pub fn folder() -> PathBuf {
    named(std::env::var_os("FORKLAB_VECTORS")).unwrap_or_else(|error| panic!("{error}"))
}

/// The folder that this value of the variable names.
fn named(value: Option<OsString>) -> Result<PathBuf, &'static str> {
    match value {
        None => Ok(built_in()),
        Some(value) if value.is_empty() => Err("FORKLAB_VECTORS is empty: name a folder, or unset it"),
        Some(value) => Ok(value.into()),
    }
}

/// `FILE.json` of a folder: from where it was read, and its bytes. The constants come from the built-in folder if this one
/// lacks them.
pub fn read(folder: &Path, file: &str) -> Result<(PathBuf, Vec<u8>), String> {
    let name = format!("{file}.json");
    let mut path = folder.join(&name);
    let mut bytes = std::fs::read(&path);
    let missing = bytes.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    // A folder that is not there lacks more than them.
    if missing && file == CONSTANTS && folder.is_dir() {
        path = built_in().join(&name);
        bytes = std::fs::read(&path);
    }
    match bytes {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The `.json` files of a folder that no test reads, in order.
fn unknown(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut unknown = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let known = path.file_stem().is_some_and(|stem| FILES.iter().any(|file| stem == *file));
        if path.extension().is_some_and(|extension| extension == "json") && !known {
            unknown.push(path);
        }
    }
    unknown.sort();
    Ok(unknown)
}

#[test]
fn every_json_file_of_the_folder_is_one_that_a_test_reads() {
    let unknown = unknown(&folder()).unwrap_or_else(|error| panic!("{error}"));
    assert!(unknown.is_empty(), "no test reads {unknown:?}");
}

#[test]
fn an_empty_variable_is_no_folder() {
    assert_eq!(named(None), Ok(built_in()));
    assert_eq!(named(Some("d".into())), Ok("d".into()));
    assert!(named(Some("".into())).is_err_and(|error| error.contains("FORKLAB_VECTORS is empty")));
}

#[test]
fn a_folder_may_lack_the_constants_and_no_other_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in FILES {
        match read(folder.path(), file) {
            Ok((path, _)) => assert_eq!((file, path), (CONSTANTS, built_in().join("constants.json"))),
            Err(error) => assert!(file != CONSTANTS && error.contains(&format!("{file}.json")), "{error}"),
        }
    }
    let own = folder.path().join("constants.json");
    std::fs::write(&own, "[]").expect("it can be written");
    assert_eq!(read(folder.path(), CONSTANTS), Ok((own, b"[]".to_vec())));
    assert!(read(&folder.path().join("nowhere"), CONSTANTS).is_err());
}

#[test]
fn a_json_file_with_another_name_is_unknown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["skb.json", "skbs.json", "README.md", "do-fork.json"] {
        std::fs::write(folder.path().join(name), "[]").expect("it can be written");
    }
    assert_eq!(unknown(folder.path()), Ok(["do-fork.json", "skbs.json"].map(|name| folder.path().join(name)).to_vec()));
}
