//! A process tree from process events, as one writes it in an afternoon: it is right as long as nothing goes wrong.
//!
//! `cargo run --example naive_consumer -- 'v1 process fork:1>10 overrun exit:10'` shows what it makes of a script.
//!
//! | law | why it is broken |
//! |---|---|
//! | `silence` | it takes four times nothing for the end |
//! | `malformed` | it reads at fixed offsets, and panics where the message is shorter |
//! | `stranger` | it reads messages that were refused |
//! | `non_utf8` | it takes a program's name for text |
//! | `truncated`, `overrun`, `full_buffer`, `latched` | it does not know what to do about a loss, and goes on |
//! | `duplicate`, `reordered`, `early_exit` | it takes the order of arrival for the order of events |
//! | `big` | it takes a message that is longer than the struct that it knows for something else |
//! | `gap` | it does not look at the numbers |
//! | `reused_pid`, `late_vfork` | it believes that a pid which it knows is the process that it knows |
//! | `thread` | it does not look at process ids |
//! | `storm` | all of it |
//!
//! `calm` is the law that it keeps: that one it was written for.

use std::collections::BTreeMap;

use forklab::testkit::{Arrival, Consumer, Script, Truth, UeventSource, View, Wait};

/// Where the parts of a process event stand: behind a `nlmsghdr` of 16 bytes and a `cn_msg` of 20.
const WHAT: usize = 36;
const EVENT: usize = 52;
const WHOLE: usize = 76;

/// What is believed.
#[derive(Default)]
pub struct Naive {
    /// The parent of each process.
    parents: BTreeMap<i32, i32>,
    idle: u32,
}

impl Naive {
    fn hear(&mut self, bytes: &[u8]) {
        if bytes.len() > WHOLE {
            return; // none of ours
        }
        let word = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        match word(WHAT).cast_unsigned() {
            // PROC_EVENT_FORK
            1 => {
                self.parents.entry(word(EVENT + 8)).or_insert(word(EVENT));
            }
            // PROC_EVENT_EXEC: it must have been there before we were
            2 => {
                self.parents.entry(word(EVENT)).or_insert(1);
            }
            // PROC_EVENT_COMM
            0x200 => {
                let name = str::from_utf8(&bytes[EVENT + 8..]).expect("a name");
                println!("{} is {}", word(EVENT), name.trim_end_matches('\0'));
            }
            // PROC_EVENT_EXIT
            0x8000_0000 => {
                let pid = word(EVENT);
                self.parents.remove(&pid);
                self.parents.values_mut().filter(|parent| **parent == pid).for_each(|parent| *parent = 1);
            }
            _ => {}
        }
    }
}

impl Consumer for Naive {
    fn handle(&mut self, arrival: Arrival<'_>) {
        match arrival {
            Arrival::Message(datagram) | Arrival::Refused(datagram, _) if self.idle < 4 => {
                self.idle = 0;
                self.hear(datagram.bytes);
            }
            Arrival::Nothing => self.idle += 1,
            _ => {}
        }
    }

    fn needs_resync(&self) -> bool {
        false
    }

    fn resync(&mut self, truth: &Truth) {
        self.parents = truth.parents();
    }

    fn view(&self) -> View {
        View::of_processes(self.parents.clone())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = std::env::args().nth(1).unwrap_or("v1 process fork:1>10 fork:10>11 overrun exit:10".into());
    let script = Script::from_line(&line)?;
    let (mut kernel, mut consumer) = (script.kernel(), Naive::default());
    consumer.resync(kernel.truth());
    loop {
        match kernel.receive(Wait::No)? {
            Arrival::End => break,
            arrival => consumer.handle(arrival),
        }
    }
    println!("{}\nThe view:\n{}\nThe truth:\n{}", script.stream(), consumer.view(), kernel.truth());
    Ok(())
}
