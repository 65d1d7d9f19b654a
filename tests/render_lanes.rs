//! The default picture and the function graph of small runs: whole pictures as snapshots, and what holds for all.

mod common;

use std::rc::Rc;

use common::forklab;
use forklab::render::graph::graph;
use forklab::render::json::json;
use forklab::render::lanes::{Detail, Lanes, lanes};
use sim::lock::Completion;
use sim::mm::{FaultRule, Kind, Times};
use sim::trace::{Event, What};
use sim::{Cache, Calm, Config, Gfp, Machine, Replay, Site};
use uevent::Core;
use uevent::af_netlink::{Caller, NETLINK_KOBJECT_UEVENT, netlink_bind, netlink_create, netlink_recvmsg};
use uevent::kobject::{kobject_init, kobject_set_name};
use uevent::kobject_uevent::{kobject_fork, kobject_uevent_init};

/// The patch in small: a parent that reads its child's task after waking it, on two CPUs.
fn parent_reads_a_freed_child(schedule: &str) -> Vec<Event> {
    let config = Config { cpus: 2, ..Config::default() };
    let m = Machine::new(config, Replay::new(schedule.parse().expect("a schedule")));
    m.watch_steps();
    let recording = m.trace.record();
    let tasks: Rc<Cache<i32>> = Rc::new(Cache::new(Kind::CacheAlloc));
    let parent = m.clone();
    m.spawn("p", async move {
        let m = parent;
        m.enter("do_fork", || vec![("clone_flags", 17.into())]);
        m.enter("alloc_pidmap", Vec::new);
        m.point().await;
        m.leave("alloc_pidmap", Some(101));
        let task = tasks.alloc(&m, Site("dup_task_struct.task"), 1600, Gfp::KERNEL, 101).await.expect("no faults");
        m.call("security_task_alloc", Vec::new, Some(0));
        let (child, all) = (m.clone(), tasks.clone());
        m.spawn("c", async move {
            child.enter("do_exit", || vec![("code", 0.into())]);
            child.point().await;
            all.free(&child, task, "free_task");
            child.leave("do_exit", None);
        });
        m.call("wake_up_new_task", || vec![("pid", 101.into()), ("flags", 17.into())], None);
        m.point().await;
        let pid = tasks.with(&m, task, "p->pid", |pid| *pid).unwrap_or(0x6b6b_6b6b);
        m.call("kobject_fork", || vec![("parent", 100.into()), ("child", pid.into())], None);
        m.leave("do_fork", Some(101));
    });
    m.run();
    recording.take()
}

/// Fork events with so many listeners and, if asked for, one site that fails.
fn fork_event(listeners: usize, fails: Option<&str>) -> Vec<Event> {
    let m = Machine::new(Config { cpus: 2, ..Config::default() }, Calm);
    let core = Rc::new(Core::new(m.clone(), uevent::Config::default()).expect("links"));
    let recording = m.trace.record();
    let fails = fails.map(|site| FaultRule { site: Some(site.into()), nth: 1, times: Times::Forever });
    let kernel = core.clone();
    m.spawn("p", async move {
        kobject_uevent_init(&kernel).await.expect("no fault yet");
        let kobj = kernel.new_kobject();
        kobject_init(&kernel, kobj);
        kobject_set_name(&kernel, kobj, b"fork_kobj", Vec::new).await.expect("fits the array");
        for i in 0..listeners {
            let sk = netlink_create(&kernel, NETLINK_KOBJECT_UEVENT).await.expect("no fault yet");
            netlink_bind(&kernel, sk, Caller { pid: 1, net_admin: true }, 0, 1).await.expect("a free port id");
            let hears = kernel.clone();
            let name = format!("l{}", ["a", "b", "c", "d", "e"][i]);
            kernel.m.spawn(name.as_str(), async move {
                let _ = netlink_recvmsg(&hears, sk, &mut Vec::new(), 4096, 0).await;
                hears.m.call("recv", || vec![("len", 24.into())], None);
            });
        }
        for _ in 0..8 {
            kernel.m.yield_now().await;
        }
        kernel.m.mem.faults(|faults| fails.into_iter().for_each(|rule| faults.add(rule)));
        kobject_fork(&kernel, kobj, 100, 101).await;
    });
    m.run();
    // What the set-up did is not part of the picture.
    let events = recording.take();
    let from = events.iter().position(|event| matches!(event.what, What::Enter { func: "kobject_fork", .. }));
    events[from.expect("the event was sent")..].to_vec()
}

fn freed_first() -> Vec<Event> {
    parent_reads_a_freed_child("p3.c2.p1")
}

fn longest(picture: &str) -> usize {
    picture.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

#[test]
fn a_broken_rule_points_at_the_call_and_names_the_step_that_is_to_blame() {
    let mut options = Lanes::default();
    options.labels.insert("p".into(), "parent 100".into());
    options.labels.insert("c".into(), "child 101".into());
    insta::assert_snapshot!("use_after_free", options.draw(&freed_first()));
}

#[test]
fn a_run_without_a_broken_rule_has_no_note_and_no_rule() {
    let picture = lanes(&parent_reads_a_freed_child("p9"));
    insta::assert_snapshot!("calm", picture);
    assert!(!picture.contains(" rule"));
}

#[test]
fn one_fork_event_with_two_listeners() {
    insta::assert_snapshot!("fork_event", lanes(&fork_event(2, None)));
}

#[test]
fn every_allocation_and_free_is_shown_if_all_is_asked_for() {
    insta::assert_snapshot!(
        "fork_event_all",
        Lanes { detail: Detail::All, ..Lanes::default() }.draw(&fork_event(1, None))
    );
}

#[test]
fn a_failed_allocation_is_shown_where_successful_ones_are_not() {
    let picture = lanes(&fork_event(2, Some("alloc_skb.data")));
    insta::assert_snapshot!("failed_allocation", picture);
    assert_eq!(picture.matches("kmalloc").count(), 1, "only the one that failed");
}

#[test]
fn more_lanes_than_columns_share_the_columns_and_the_width_stays() {
    let picture = lanes(&fork_event(5, None));
    insta::assert_snapshot!("six_lanes", picture);
    assert!(longest(&picture) <= 80);
}

#[test]
fn no_line_is_longer_than_asked_for_and_none_ends_with_a_blank() {
    for events in [freed_first(), fork_event(1, None), fork_event(5, Some("skb_clone.head"))] {
        for width in [40, 60, 80, 100, 120] {
            for detail in [Detail::Calls, Detail::All] {
                let picture = Lanes { width, detail, ..Lanes::default() }.draw(&events);
                assert!(longest(&picture) <= width, "{width} columns:\n{picture}");
                assert!(picture.lines().all(|line| line.trim_end() == line), "{picture}");
            }
        }
    }
}

#[test]
fn colour_only_adds() {
    for events in [freed_first(), fork_event(5, Some("alloc_skb.head"))] {
        let options = Lanes { detail: Detail::All, ..Lanes::default() };
        let plain = options.draw(&events);
        let colored = Lanes { color: true, ..options }.draw(&events);
        assert_ne!(colored, plain);
        assert_eq!(without_escapes(&colored), plain);
    }
}

/// The text without `ESC [ … m`.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn a_deadlock_is_told_in_the_lane_that_waits_and_a_leak_in_none() {
    let m = Machine::new(Config { cpus: 2, ..Config::default() }, Calm);
    let recording = m.trace.record();
    let (waits, other) = (m.clone(), m.clone());
    m.spawn("p", async move {
        waits.enter("do_fork", Vec::new);
        let _ = waits.kmalloc(Site("kobject_fork.envp"), 40, Gfp::KERNEL).await;
        Completion::default().wait_for_completion(&waits).await;
    });
    m.spawn("c", async move {
        other.call("do_exit", || vec![("code", 0.into())], None);
        other.point().await;
    });
    m.run();
    m.report_leaks(&m.live(&[]));
    insta::assert_snapshot!("deadlock", lanes(&recording.take()));
}

#[test]
fn the_same_call_many_times_folds_into_a_count() {
    let m = Machine::new(Config::default(), Calm);
    let recording = m.trace.record();
    let lane = m.clone();
    m.spawn("p", async move {
        for nr in [101, 101, 90, 80, 70] {
            lane.call("attach_pid", || vec![("nr", nr.into())], None);
            lane.point().await;
        }
    });
    m.run();
    let events = recording.take();
    insta::assert_snapshot!(lanes(&events), @r"
     step  CPU0  p
     ----  ---------------
        1  attach_pid(101)
        5  … 4 more
    ");
    let all = Lanes { detail: Detail::All, ..Lanes::default() }.draw(&events);
    assert_eq!(all.matches("attach_pid").count(), 5, "different calls are all events:\n{all}");
}

#[test]
fn work_before_the_first_step_belongs_to_no_lane() {
    let m = Machine::new(Config::default(), Calm);
    let recording = m.trace.record();
    m.call("fork_init", || vec![("mempages", 65_536.into())], None);
    insta::assert_snapshot!(lanes(&recording.take()), @r"
     step
     ----
        0  fork_init(65536)
    ");
}

#[test]
fn no_events_are_an_empty_picture() {
    assert_eq!(lanes(&[]), " step\n ----\n");
}

#[test]
fn the_function_graph_of_a_race_shows_both_cpus() {
    insta::assert_snapshot!("graph_race", graph(&freed_first()));
}

#[test]
fn the_function_graph_of_one_event_shows_who_takes_over_the_cpu() {
    insta::assert_snapshot!("graph_fork_event", graph(&fork_event(1, None)));
}

#[test]
fn a_function_that_never_returns_is_closed_so_that_the_braces_balance() {
    let m = Machine::new(Config::default(), Calm);
    let recording = m.trace.record();
    let lane = m.clone();
    m.spawn("p", async move {
        lane.enter("send_uevent", Vec::new);
        lane.enter("skb_put", Vec::new);
        match lane.bug("net/core/skbuff.c", "skb_over_panic").await {}
    });
    m.run();
    let text = graph(&recording.take());
    assert_eq!(text.matches('{').count(), text.matches('}').count());
    insta::assert_snapshot!(text, @r"
    # tracer: function_graph
    #
    # CPU  STEP      TASK           FUNCTION CALLS
    # |     |         |             |   |   |   |
     0)     1    |  p           |  send_uevent() {
     0)     1    |  p           |    skb_put() {
     0)     1    |  p           |      /* BUG() in net/core/skbuff.c:skb_over_panic() */
     0)     1    |  p           |      /* VIOLATION: kernel BUG at net/core/skbuff.c:skb_over_panic() */
     0)     1    |  p           |    } /* skb_put did not return */
     0)     1    |  p           |  } /* send_uevent did not return */
    ");
}

#[test]
fn the_json_has_a_line_for_each_event() {
    let events = freed_first();
    let mut text = Vec::new();
    json(&events, &mut text).expect("memory takes everything");
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    assert!(text.ends_with('\n'));
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let steps: Vec<_> = lines.iter().map(|line| line["step"].as_u64()).collect();
    assert_eq!(steps, events.iter().map(|event| Some(event.step)).collect::<Vec<_>>());
    insta::assert_snapshot!(text.lines().next().unwrap_or_default(), @r#"{"step":1,"cpu":0,"lane":"p","event":"enter","func":"do_fork","args":{"clone_flags":17}}"#);
}

/// A law is judged when the run is over: what it found, the trace tells after its last step.
const JUDGED: &str =
    "v1 two-forks hook=before-wake gate=has-listeners sequence=per-cpu format=keys sched=p8.q1 fault=none law=P14";

#[test]
fn no_line_of_a_trace_has_a_key_twice() {
    let mut kinds = std::collections::BTreeSet::new();
    let broken = ["v1 first-fork hook=locked fault=none cut=elsa law=P17", "v1 G16 answers=0.10"];
    for line in
        ["v1 tour", "v1 autoreap seed=7", "v1 thread format=keys hook=before-wake", JUDGED].iter().chain(&broken)
    {
        let done = forklab(&["replay", line, "--trace", "json"]);
        assert!(done.out.lines().count() > 10, "{line}: {}", done.err);
        for text in done.out.lines() {
            // Of a key that is there twice a Value keeps one; all else is as long as before, if in another order.
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(value.to_string().len(), text.len(), "{line}: {text}");
            kinds.insert(value["event"].as_str().expect("every event has a kind").to_owned());
        }
    }
    assert!(["alloc", "call", "wake", "violation"].iter().all(|kind| kinds.contains(*kind)), "only {kinds:?}");
}

#[test]
fn what_was_judged_afterwards_stands_in_the_step_that_the_report_names() {
    let done = forklab(&["replay", JUDGED, "--trace", "lanes"]);
    let (_, found) = done.out.split_once(" found     step ").expect("something was found");
    let found: u64 = found.split(':').next().and_then(|step| step.parse().ok()).expect("a step");
    let (before, after) = done.out.split_once(" elsa cannot tell who forked first").expect("the picture has it");
    let step = |line: &str| line.get(..5)?.trim().parse::<u64>().ok();
    assert_eq!(before.lines().filter_map(step).next_back(), Some(found), "{}", done.out);
    assert!(after.lines().find_map(step).is_some_and(|next| next > found), "{}", done.out);
}

#[test]
fn a_message_that_is_too_long_for_its_column_keeps_its_ends() {
    let done = forklab(&["replay", JUDGED, "--trace", "lanes"]);
    let message = done.out.split_whitespace().collect::<String>();
    let cut = r"fork@/fork_kobj\0…SUBSYSTEM=process\0PPID=101\0PID=103\0SEQNUM=0\0CPU=1\0";
    assert!(message.contains(cut), "{}", done.out);
}

#[test]
fn the_same_events_give_the_same_bytes() {
    assert_eq!(lanes(&freed_first()), lanes(&freed_first()));
    assert_eq!(graph(&freed_first()), graph(&freed_first()));
}
