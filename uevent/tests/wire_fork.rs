//! What may follow the two pids of a bare fork event.

use forklab_uevent::wire::Message;

#[test]
fn behind_the_two_pids_stands_nothing_or_one_whole_seqnum() {
    let pids = |tail: &str| {
        let text = format!("fork@/fork_kobj\u{0}100\u{0}101\u{0}{tail}");
        Message::parse(text.as_bytes()).expect("a message").fork_pids().map_err(|error| error.offset)
    };
    assert_eq!(pids(""), Ok((100, 101)));
    assert_eq!(pids("SEQNUM=7\u{0}"), Ok((100, 101)));
    for (tail, offset) in
        [("x\u{0}", 24), ("SEQNUM=x\u{0}", 31), ("SEQNUM=\u{0}", 31), ("SEQNUM=7", 32), ("SEQNUM=7\u{0}junk\u{0}", 33)]
    {
        assert_eq!(pids(tail), Err(offset), "{tail:?}");
    }
}
