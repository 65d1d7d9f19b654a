//! Three of the axes: whom the notification asks first, how it numbers events, how it delivers them.

axis! {
    /// Who is asked before anything is allocated. A gate that says no ends the notification there.
    Gate;
    /// Nobody is asked: the patch as posted. With nobody listening all the work is done and dropped, which Morton objected
    /// to on the same day (20050211005446.081aa075.akpm@osdl.org, P1).
    #[default]
    Always "always";
    /// The kernel's own socket is looked at. It exists from the initcall on, so that this asks whether the kernel has
    /// booted, not whether somebody listens (P2; Morton, same mail).
    Socket "socket";
    /// One flag for the whole machine, set and cleared by a listener's message: `cn_fork_enable` of the fork connector,
    /// versions 1 to 3 (February to May 2005). One listener's "off" switches all off (Ram Pai, Jay Lan, 2005-03-21/22,
    /// 1111438349.5860.27 and 4240AF8B.4000102@engr.sgi.com, P4), and a listener that dies leaves it on (P3).
    OnOff "on-off";
    /// `proc_event_num_listeners` of the process events connector (Helsley, 2005-09-28, 1127961841.12346.2344.camel@stark):
    /// LISTEN adds 1, IGNORE subtracts 1, and below 1 nothing is sent. It has no floor: IGNORE first and then LISTEN make 0
    /// (P5). A listener that dies is counted for ever (P3).
    Counter "counter";
    /// Somebody is in the list of the group: `netlink_has_listeners()`, which later kernels have. No message is needed, and
    /// who dies leaves the list.
    HasListeners "has-listeners";
    { later
        /// The counter as mainline had it for a few weeks of 2024 (c46bfba1337d, reverted by 8929f95b2b58): it is set to 0
        /// when a broadcast answers -ESRCH, which also happens when the only listener filters this kind of event (P6).
        ///
        /// It is no value of the axis in `design.md`, so that [`Design::all`](super::Design::all) leaves it out.
        CounterReset "counter-reset";
    }
}

axis! {
    /// How events are numbered. The number is drawn before the message is made.
    Sequence;
    /// They are not: the patch as posted. A listener cannot tell that it lost one (P11).
    #[default]
    None "none";
    /// One counter, read and then written: two CPUs may draw the same number. The fork connector before Morton and Jay Lan
    /// spoke of it (2005-04-07/10, 20050410235124.2addd7d9.akpm@osdl.org, P12).
    Unlocked "unlocked";
    /// One counter under one spinlock, which every fork of every CPU takes (Barnes, 2005-03-17,
    /// 200503170856.57893.jbarnes@engr.sgi.com, P13).
    Locked "locked";
    /// A counter for each CPU, with preemption off; the number carries the CPU: `get_seq()` of the process events connector
    /// (Polyakov's proposal, then Helsley, 2005-09-28). The order of two CPUs is not told (P14).
    PerCpu "per-cpu";
}

axis! {
    /// How the message gets to user space.
    Delivery;
    /// The forking task sends it by `netlink_broadcast()`: the patch as posted, and the connectors.
    #[default]
    Broadcast "broadcast";
    /// The forking task allocates a small node and appends it to a list; a worker sends it later: CBUS (Polyakov, March and
    /// April 2005). The cost only moves, the list has no bound, and a node that cannot be allocated is an event lost
    /// (Morton, Jackson, 2005-04-01, 20050401111134.49a8af5f.akpm@osdl.org, P25).
    Deferred "deferred";
    /// Real-time signal 33 to each registered process: the Relay Fork Module (Thouvenin, 2005-01-19 and 02-07). A
    /// `struct sigqueue` is allocated for each, atomically; it carries two integers, no text and no number.
    Signal "signal";
    /// A broadcast, and `call_usermodehelper()` for each event, as `kobject_hotplug()` does for devices: what Morton's
    /// question of 2005-02-07 (20050207154623.33333cda.akpm@osdl.org) amounts to, taken at its word. The helper is a
    /// process, so that its fork is an event, too; see [`crate::notify::helper`] for where the lab cuts that.
    Hotplug "hotplug";
    { later
        /// `deferred`, with a worker that takes all that waits and sends it as one datagram of several messages, which the
        /// listener takes apart. Nobody sent such a thing; it is the answer to Jackson's one packet for each fact
        /// (2005-03-29, P26), and needs messages that say how long they are.
        ///
        /// It is no value of the axis in `design.md`, so that [`Design::all`](super::Design::all) leaves it out.
        Batched "batched";
    }
}
