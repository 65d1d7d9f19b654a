//! The real tshark, with or without `wireshark/forklab.lua`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use forklab::render::pcap::{Capture, Family};

/// What separates the values of a field that occurs several times: no message of the tests has this byte.
pub const AND: &str = "\x1f";

/// A capture of these datagrams, a microsecond apart.
pub fn capture(datagrams: &[(Family, &[u8])]) -> Vec<u8> {
    let mut capture = Capture::new(Vec::new()).expect("memory takes everything");
    for (time, (family, datagram)) in (0..).zip(datagrams) {
        capture.write(*family, Duration::from_micros(time), datagram).expect("memory takes everything");
    }
    capture.finish().expect("memory takes everything").1
}

/// tshark in the folder of the package, with the dissector.
pub fn with_dissector() -> Command {
    let mut command = plain();
    command.args(["-X", "lua_script:wireshark/forklab.lua"]);
    command
}

/// tshark as it is installed: no settings and no plugins of whoever runs the tests.
pub fn plain() -> Command {
    let mut command = Command::new("tshark");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("-n").env("LC_ALL", "C.UTF-8");
    // Or whoever has the dissector as a personal plugin would have it twice.
    command.env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME").env_remove("WIRESHARK_CONFIG_DIR");
    command
}

/// Reads a capture file; fails unless tshark is content, and the dissector without an error of Lua.
pub fn read(mut tshark: Command, file: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = tshark.arg("-r").arg(file).args(args).output().expect("tshark starts");
    let (out, err) = (String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{err}");
    assert!(!err.contains("Lua") && !err.contains("lua"), "{err}");
    let wrong: Vec<_> = out.lines().filter(|line| line.contains("Lua Error")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    out
}

/// These fields of each packet of a capture, one packet a row.
pub fn fields(tshark: Command, bytes: &[u8], fields: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("x.pcap");
    std::fs::write(&file, bytes).expect("a temporary folder can be written");
    let aggregator = format!("aggregator={AND}");
    let mut args = vec!["-T", "fields", "-E", "separator=/t", "-E", &aggregator];
    fields.iter().for_each(|field| args.extend(["-e", field]));
    let out = read(tshark, &file, &args);
    out.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}
