//! What the genuine functions of Linux 2.6.11 did, case by case: every byte, return code, allocation and callback.
//!
//! Each module runs the cases of one file of `tests/data/vectors/` (of `FORKLAB_VECTORS`, if that is set) on the model:
//! it turns the recorded input into calls, and what the model did into the form in which the original was recorded.
//! `harness` compares. An answer comes from the model alone; no case is known by its id.

mod harness;

mod action_strings;
mod add_hotplug_env_var;
mod constants;
mod do_fork;
mod fork_init;
mod kobject_fork;
mod kobject_hotplug;
mod kobject_lifecycle;
mod kobject_path;
mod kobject_uevent;
mod netlink_broadcast;
mod pidmap;
mod send_uevent;
mod set_name;
mod skb;
mod uevent_init;
