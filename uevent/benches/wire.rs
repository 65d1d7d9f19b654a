//! How fast a keyed message is read, against crate `kobject-uevent` and against a bare scan for its two delimiters.
//!
//! Each bench reads the same 214 bytes, so that their rows can be divided. The allocation columns come from divan's
//! profiler: ours has none. What is read is the same too: every pair is visited, four of them are picked out.

use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount};
use forklab_uevent::wire::Message;
use kobject_uevent::UEvent;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// What Linux 6.18 sends for a terminal after `echo change UUID A=1 B=x > uevent`: one of the recorded messages in
/// `tests/data/real`, with a sequence number of two digits.
const MESSAGE: &[u8] = b"change@/devices/virtual/tty/tty37\0ACTION=change\0DEVPATH=/devices/virtual/tty/tty37\0\
    SUBSYSTEM=tty\0SYNTH_UUID=3f2a6c1e-0000-4000-8000-00000000002a\0SYNTH_ARG_A=1\0SYNTH_ARG_B=x\0MAJOR=4\0MINOR=37\0\
    DEVNAME=tty37\0SEQNUM=97\0";
const _: () = assert!(MESSAGE.len() == 214);

fn main() {
    divan::main();
}

/// One pass over all pairs.
#[divan::bench(sample_size = 256)]
fn ours(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(MESSAGE)).bench(|| {
        let message = Message::parse(black_box(MESSAGE)).expect("a message of a real kernel");
        let [mut action, mut devpath, mut subsystem, mut seqnum] = [None; 4];
        for (key, value) in message.keys() {
            match key {
                b"ACTION" => action = Some(value),
                b"DEVPATH" => devpath = Some(value),
                b"SUBSYSTEM" => subsystem = Some(value),
                b"SEQNUM" => seqnum = Some(value),
                _ => _ = black_box(value),
            }
        }
        (message, action, devpath, subsystem, seqnum)
    });
}

/// One pass for each of the four keys, the last of which is read as a number.
#[divan::bench(sample_size = 256)]
fn ours_by_get(bencher: Bencher) {
    bencher.counter(BytesCount::of_slice(MESSAGE)).bench(|| {
        let message = Message::parse(black_box(MESSAGE)).expect("a message of a real kernel");
        let get = |key| message.get(key);
        (get("ACTION"), get("DEVPATH"), get("SUBSYSTEM"), message.seqnum())
    });
}

#[divan::bench(sample_size = 256)]
fn kobject_uevent(bencher: Bencher) {
    bencher
        .counter(BytesCount::of_slice(MESSAGE))
        .bench(|| UEvent::from_netlink_packet(black_box(MESSAGE)).expect("it accepts this message"));
}

/// Finding every `=` and NUL with crate `memchr`, and doing nothing with them.
#[divan::bench(sample_size = 256)]
fn memchr2_scan(bencher: Bencher) {
    bencher
        .counter(BytesCount::of_slice(MESSAGE))
        .bench(|| memchr::memchr2_iter(b'=', 0, black_box(MESSAGE)).for_each(|at| _ = black_box(at)));
}
