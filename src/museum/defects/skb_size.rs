//! G36: a size near 4 GiB gets a buffer of nothing.

use std::rc::Rc;

use fork_model::System;
use sim::{Gfp, Law};
use uevent::Fix;
use uevent::skbuff::{alloc_skb, kfree_skb};

use super::super::experiment::Experiment;
use super::stage::{alone, judged_on_the_way, kernel, obey, pick};

const LAW: Law = Law { id: "G36", sentence: "a buffer has the room that was asked for" };

/// `alloc_skb()` rounds and adds in 32 bits.
///
/// A size of 0xffffffff rounds up to 0; one a little smaller survives the rounding, and wraps when the 312 bytes behind
/// the data are added. Both get a valid buffer with no such room. Nothing on this path asks for so much.
///
/// Tried: two plain sizes, and those on both sides of the two places where it wraps.
pub(super) const EXPERIMENT: Experiment = Experiment {
    id: LAW.id,
    title: "a request for 4 GiB is answered with an empty buffer",
    says: "alloc_skb() rounds the size up to the cache line and adds the bytes behind it, in 32 bits. A size near the top wraps \
           round, and the caller gets a valid buffer of nearly nothing.",
    source: "net/core/skbuff.c: alloc_skb()",
    mended_by: "here: a size that does not survive the rounding is refused",
    machine: sim::Config::default,
    kernel: |mended| kernel(mended, Fix::CheckedSize),
    faults: 0,
    tell: |sys| alone(sys, story),
    judge: judged_on_the_way,
};

const SIZES: [u32; 7] = [64, 1024, 0xffff_fec0, 0xffff_fec1, 0xffff_ffc0, 0xffff_ffc1, 0xffff_ffff];

async fn story(sys: Rc<System>) {
    let size = pick(&sys.m, "size: 64, 1024, 0xfffffec0, …", &SIZES);
    let Ok(skb) = alloc_skb(&sys.core, size, Gfp::KERNEL).await else { return };
    let head = sys.core.skb(skb, |skb| skb.head);
    let room = sys.m.buf(head, "the story", |buf| buf.size()).unwrap_or(0);
    obey(&sys.m, LAW, room >= size, || format!("alloc_skb({size:#x}) has {room} bytes"));
    kfree_skb(&sys.core, skb);
}
