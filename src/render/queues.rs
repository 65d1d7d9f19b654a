//! Which message is in which listener's queue, read from the trace.
//!
//! A delivery is traced ([`sk_data_ready`](uevent::af_netlink)), a receive is not: it shows by the sk_buff that is freed. The
//! first listener gets the original, whose other reference is the sender's. If that listener reads before the sender lets
//! go, the sk_buff is freed by the sender, and only then is the message seen to have left the queue.

use std::collections::BTreeMap;

use sim::LaneName;
use sim::trace::{Args, Event, What};

use super::words;

/// What happened to a listener's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// A message came to this socket.
    Queued { sock: i64, skb: u64 },
    /// It was read, or thrown away with its socket.
    Left { sock: i64, skb: u64 },
    /// The socket has an error to tell: something was lost.
    Told { sock: i64, err: i64 },
}

/// A broadcast on its way: the sk_buff that was sent, and a clone that nobody has taken yet.
#[derive(Clone, Copy)]
struct Broadcast {
    original: u64,
    copy: Option<u64>,
}

/// The queues of a run, event by event.
#[derive(Default)]
pub(crate) struct Queues {
    /// The sk_buff that was made last, by lane.
    made: BTreeMap<LaneName, u64>,
    /// By anybody: a worker sends what another lane has made.
    last: u64,
    open: BTreeMap<LaneName, Broadcast>,
    /// Sockets in whose queue an sk_buff is.
    queued: BTreeMap<u64, Vec<i64>>,
}

impl Queues {
    /// What the event moves. What it frees may stand in several queues.
    pub(crate) fn event(&mut self, event: &Event) -> Vec<Move> {
        let lane = event.lane;
        match &event.what {
            What::Alloc { seq, site: "alloc_skb.head", ok: true, .. } => {
                self.last = *seq;
                self.made.insert(lane, *seq);
            }
            What::Alloc { seq, site: "skb_clone.head", ok: true, .. } => {
                if let Some(broadcast) = self.open.get_mut(&lane) {
                    broadcast.copy = Some(*seq);
                }
            }
            What::Enter { func: "netlink_broadcast", .. } => {
                let original = self.made.get(&lane).copied().unwrap_or(self.last);
                self.open.insert(lane, Broadcast { original, copy: None });
            }
            What::Leave { func: "netlink_broadcast", .. } => {
                self.open.remove(&lane);
            }
            What::Call { func: "sk_data_ready", args, .. } => return self.deliver(lane, int(args, "sock")),
            What::Call { func: "sk_error_report", args, .. } => {
                return vec![Move::Told { sock: int(args, "sock"), err: int(args, "sk_err") }];
            }
            What::Free { seq, .. } => {
                let socks = self.queued.remove(seq).unwrap_or_default();
                return socks.into_iter().map(|sock| Move::Left { sock, skb: *seq }).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn deliver(&mut self, lane: LaneName, sock: i64) -> Vec<Move> {
        let Some(broadcast) = self.open.get_mut(&lane) else { return Vec::new() };
        let skb = broadcast.copy.take().unwrap_or(broadcast.original);
        self.queued.entry(skb).or_default().push(sock);
        vec![Move::Queued { sock, skb }]
    }
}

/// An argument that is a number; 0 if there is none.
pub(crate) fn int(args: &Args, wanted: &str) -> i64 {
    words::int(args, wanted).unwrap_or(0)
}
