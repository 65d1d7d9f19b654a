//! Real programs hear every format: what they say is what `forklab layout --consumers` shows.
//!
//! `UPDATE_CONSUMERS=1 cargo test --test consumers` records what they say now. It needs root (to send uevents, in a network
//! namespace of its own), udevadm and tshark.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod formats;
mod libraries;
mod sniffers;
mod udevadm;

use std::path::Path;

use common::{forklab, tools};
use forklab::render::layout::{Answer, Consumer, Consumers, Heard, Verdict};
use formats::{Format, settled};
use uevent::wire::Shown;

const FILE: &str = "src/render/layout/consumers.toml";
const UPDATE: &str = "UPDATE_CONSUMERS";

/// A consumer, what it needs, and how it is asked.
struct Asked {
    name: &'static str,
    asked: &'static str,
    /// Programs, and whether the format has to be sent, which is for root.
    needs: &'static [&'static str],
    live: bool,
    version: fn() -> String,
    answer: fn(&Format) -> (Verdict, Vec<String>),
}

const CONSUMERS: [Asked; 6] = [
    Asked {
        name: "udevadm --kernel",
        asked: "udevadm monitor --kernel --property, SYSTEMD_LOG_LEVEL=debug",
        needs: &["udevadm"],
        live: true,
        version: udevadm::version,
        answer: |format| udevadm::answer("--kernel", format),
    },
    Asked {
        name: "udevadm --udev",
        asked: "udevadm monitor --udev --property, SYSTEMD_LOG_LEVEL=debug",
        needs: &["udevadm"],
        live: true,
        version: udevadm::version,
        answer: |format| udevadm::answer("--udev", format),
    },
    Asked {
        name: "tshark",
        asked: "the columns Protocol and Info of a capture",
        needs: &["tshark"],
        live: false,
        version: sniffers::version,
        answer: sniffers::plain,
    },
    Asked {
        name: "tshark +lua",
        asked: "the same with wireshark/forklab.lua",
        needs: &["tshark"],
        live: false,
        version: sniffers::version,
        answer: sniffers::with_dissector,
    },
    Asked {
        name: "kobject-uevent",
        asked: "UEvent::from_netlink_packet()",
        needs: &[],
        live: false,
        version: || libraries::version("kobject-uevent"),
        answer: libraries::kobject_uevent,
    },
    Asked {
        name: "nlink",
        asked: "Uevent::parse(), or ProcEvent::parse_from_bytes() behind cn_msg",
        needs: &[],
        live: false,
        version: || libraries::version("nlink"),
        answer: libraries::nlink,
    },
];

impl Asked {
    fn can_be_asked(&self) -> bool {
        tools::need(self.needs) && (!self.live || tools::need_root())
    }

    fn consumer(&self) -> Consumer {
        Consumer { name: self.name.into(), version: (self.version)(), asked: self.asked.into() }
    }

    fn answer(&self, format: &Format) -> Answer {
        let (verdict, words) = (self.answer)(format);
        Answer { consumer: self.name.into(), verdict, words }
    }
}

/// The release without what a distribution or a machine appends to it.
fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    release.trim().split('-').next().unwrap_or_default().into()
}

fn heard(format: &Format) -> Heard {
    Heard {
        format: format.name.into(),
        sent: format.way.said().into(),
        datagram: format.heard_shown(),
        answers: CONSUMERS.iter().map(|asked| asked.answer(format)).collect(),
    }
}

/// Records what everybody says now.
fn record() {
    assert!(CONSUMERS.iter().all(Asked::can_be_asked), "{UPDATE} needs root and every program");
    let formats = formats::all();
    let consumers = CONSUMERS.iter().map(Asked::consumer).collect();
    let now = Consumers { kernel: kernel(), consumers, formats: formats.iter().map(heard).collect() };
    let head = format!("# What consumers said of each format. Written by {UPDATE}=1 cargo test --test consumers.\n");
    let text = head + &toml::to_string_pretty(&now).expect("plain data");
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE), text).expect("the record can be written");
}

/// What to do about an answer that is another one now.
fn advice(recorded: &Consumer, now: &Consumer, kernel_then: &str) -> String {
    let versions = if recorded.version == now.version {
        format!("the same version, {}, said so on Linux {kernel_then}; this is {}", now.version, kernel())
    } else {
        format!("recorded with version {}, and here is {}", recorded.version, now.version)
    };
    format!("{versions}. {UPDATE}=1 cargo test --test consumers records what it says now")
}

#[test]
fn every_consumer_says_what_is_recorded() {
    if std::env::var_os(UPDATE).is_some() {
        return record();
    }
    let recorded = Consumers::recorded();
    let formats = formats::all();
    let names = |formats: &[Format]| formats.iter().map(|format| format.name).collect::<Vec<_>>();
    assert_eq!(recorded.formats.iter().map(|heard| &heard.format[..]).collect::<Vec<_>>(), names(&formats));
    for (i, asked) in CONSUMERS.iter().enumerate() {
        if !asked.can_be_asked() {
            continue;
        }
        let now = asked.consumer();
        for (format, heard) in formats.iter().zip(&recorded.formats) {
            let answer = asked.answer(format);
            let advice = || {
                format!("{}, {}: {}", asked.name, format.name, advice(&recorded.consumers[i], &now, &recorded.kernel))
            };
            assert_eq!(answer, heard.answers[i], "{}", advice());
        }
    }
}

#[test]
fn what_is_recorded_is_what_is_heard() {
    if !tools::need_root() {
        return;
    }
    for (format, recorded) in formats::all().iter().zip(Consumers::recorded().formats) {
        let heard = settled(&Shown(&format.alone(Format::send)).to_string());
        assert_eq!((heard, format.way.said()), (recorded.datagram, &recorded.sent[..]), "{}", format.name);
    }
}

#[test]
fn the_record_is_whole() {
    let recorded = Consumers::recorded();
    let consumers: Vec<_> = CONSUMERS.iter().map(|asked| asked.name).collect();
    assert_eq!(recorded.consumers.iter().map(|consumer| &consumer.name[..]).collect::<Vec<_>>(), consumers);
    for heard in recorded.formats {
        assert_eq!(heard.answers.iter().map(|answer| &answer.consumer[..]).collect::<Vec<_>>(), consumers);
    }
}

#[test]
fn the_table_fits_and_has_the_words_of_every_consumer() {
    let shown = forklab(&["layout", "--consumers"]);
    assert_eq!((shown.code, &shown.err[..]), (Some(0), ""));
    for line in shown.out.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    // A long line of words is cut over several.
    let together = |text: &str| text.split_whitespace().collect::<String>();
    let out = together(&shown.out);
    for heard in Consumers::recorded().formats {
        for words in heard.answers.iter().flat_map(|answer| &answer.words) {
            assert!(out.contains(&together(words)), "{words}");
        }
    }
}

#[test]
fn as_json_it_is_the_record() {
    let done = forklab(&["layout", "--consumers", "--json"]);
    assert_eq!((done.code, &done.err[..]), (Some(0), ""));
    let read: Consumers = serde_json::from_str(&done.out).expect("the record");
    assert_eq!(read, Consumers::recorded());
}

#[test]
fn no_other_layout_can_be_asked_for_together_with_it() {
    for other in [&["--parent", "7"][..], &["--child", "7"], &["--hotplug", "/block/sda"], &["--smp-cache-bytes", "32"]]
    {
        let done = forklab(&[&["layout", "--consumers"], other].concat());
        assert_eq!(done.code, Some(2), "{other:?}");
        assert!(done.err.contains("cannot be used with"), "{}", done.err);
    }
}
