//! The second wing: genuine defects that stand beside the patch in 2.6.11. The numbers have gaps:
//! what was seen there and breaks no rule is no exhibit.
//!
//! No answer is built in: each story asks the machine for its inputs (how long a name is, what comes next, which
//! allocation fails), the modelled kernel does what it does, and either the machine objects, or a general law does that
//! knows nothing of the answer. The ranges are small, around the places where a size or a count turns, and answers
//! stand in order from the harmless ones on, so that a search told to the end takes well under a second.

use super::experiment::Experiment;

mod asked_for_nothing;
mod charge;
mod checked_free;
mod every_pid;
mod failed_add;
mod failed_fork;
mod failed_rename;
mod failed_variable;
mod hotplug_room;
mod kernel_socket;
mod latch;
mod long_devpath;
mod next_page;
mod own_copy;
mod sender_address;
mod sender_yields;
mod signed_limit;
mod skb_over_panic;
mod skb_size;
mod stage;
mod static_object;
mod stopped_vfork;
mod subsystem_name;
mod told_loss;
mod trim;
mod trimmed_charge;
mod unknown_action;

/// All of them, in the order of their numbers.
pub const ALL: &[Experiment] = &[
    stopped_vfork::EXPERIMENT,
    static_object::EXPERIMENT,
    sender_address::EXPERIMENT,
    unknown_action::EXPERIMENT,
    skb_over_panic::EXPERIMENT,
    long_devpath::EXPERIMENT,
    hotplug_room::EXPERIMENT,
    subsystem_name::EXPERIMENT,
    failed_variable::EXPERIMENT,
    asked_for_nothing::EXPERIMENT,
    failed_rename::EXPERIMENT,
    failed_add::EXPERIMENT,
    kernel_socket::EXPERIMENT,
    latch::EXPERIMENT,
    charge::EXPERIMENT,
    told_loss::EXPERIMENT,
    own_copy::EXPERIMENT,
    sender_yields::EXPERIMENT,
    trimmed_charge::EXPERIMENT,
    trim::EXPERIMENT,
    skb_size::EXPERIMENT,
    every_pid::EXPERIMENT,
    failed_fork::EXPERIMENT,
    next_page::EXPERIMENT,
    checked_free::EXPERIMENT,
    signed_limit::EXPERIMENT,
];
