//! Every allocation site of the path. To add one, add its line here: tables and faults read this list.

use sim::Site;

macro_rules! sites {
    ($($name:ident $text:literal $says:literal;)*) => {
        $(#[doc = concat!("`", $text, "`: ", $says, ".")] pub const $name: Site = Site($text);)*

        /// All of them. [`FORK_EVENT`] has those that a fork event meets, in that order.
        pub const ALL: &[Site] = &[$($name),*];
    };
}

sites! {
    PATH "kobject_get_path.path" "the path of a kobject";
    NAME "kobject_set_name.name" "a name of 20 bytes or more";
    FORK_ENVP "kobject_fork.envp" "the five slots of a fork event";
    ATTRPATH "do_kobject_uevent.attrpath" "path, slash, attribute";
    HOTPLUG_ENVP "kobject_hotplug.envp" "32 environment slots";
    HOTPLUG_BUFFER "kobject_hotplug.buffer" "1,024 bytes of environment";
    SKB_HEAD "alloc_skb.head" "the sk_buff of a new message";
    SKB_DATA "alloc_skb.data" "its data";
    EXPAND_DATA "pskb_expand_head.data" "the data of a trimmed message";
    CLONE_HEAD "skb_clone.head" "the sk_buff of one more listener's copy";
    SOCK "sk_alloc.sock" "a netlink socket";
    OPT "netlink_create.opt" "its private part";
    PID_HASH "nl_pid_hash_alloc.table" "the grown hash table of port ids";
}

/// The sites that one fork event may meet, in that order: the rows of the fault table.
pub const FORK_EVENT: &[Site] = &[PATH, FORK_ENVP, SKB_HEAD, SKB_DATA, EXPAND_DATA, CLONE_HEAD];
