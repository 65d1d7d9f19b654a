//! tshark, with and without the dissector.

use forklab::render::layout::Verdict;
use forklab::render::pcap::Family;

use crate::common::{tools, tshark};
use crate::formats::Format;

/// `4.0.17`, of `TShark (Wireshark) 4.0.17 (Git …).`
pub fn version() -> String {
    let said = tools::version("tshark");
    let number = said.split([' ', '.']).skip_while(|word| word.parse::<u32>().is_err());
    number.take_while(|word| word.parse::<u32>().is_ok()).collect::<Vec<_>>().join(".")
}

pub fn plain(format: &Format) -> (Verdict, Vec<String>) {
    answer(tshark::plain(), format)
}

pub fn with_dissector(format: &Format) -> (Verdict, Vec<String>) {
    answer(tshark::with_dissector(), format)
}

fn answer(tshark: std::process::Command, format: &Format) -> (Verdict, Vec<String>) {
    let family = if format.is_connector() { Family::Connector } else { Family::KobjectUevent };
    let capture = tshark::capture(&[(family, &format.heard())]);
    let rows = tshark::fields(tshark, &capture, &["_ws.col.Protocol", "_ws.col.Info"]);
    let words = rows[0].join(" ").trim_end().to_owned();
    let verdict = match () {
        () if words.contains("Malformed") || words.contains(" not a ") => Verdict::Refused,
        () if words.contains("100") && words.contains("101") => Verdict::Pids,
        () => Verdict::NoPids,
    };
    (verdict, vec![words])
}
