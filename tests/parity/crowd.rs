//! Several listeners: who is told first, and whom a full one harms.

use super::arm::{Arm, Ask, GROUP, Got, To};
use super::both::{in_2005, on_both};

#[test]
fn who_joined_last_is_told_first() {
    let body = |arm: &mut dyn Arm| {
        let ears: Vec<_> = (0..6).map(|_| arm.open(GROUP, Ask::Default)).collect();
        arm.send(To::Groups(GROUP), 24, 1);
        let first = arm.told();
        ears.iter().for_each(|ear| while arm.receive(*ear) != Got::Nothing {});
        arm.close(ears[3]);
        let late = arm.open(GROUP, Ask::Default);
        arm.send(To::Groups(GROUP), 24, 2);
        (first, late, arm.told())
    };
    let seen = (vec![5, 4, 3, 2, 1, 0], 6, vec![6, 5, 4, 2, 1, 0]);
    assert_eq!(on_both(body), seen);
    assert_eq!(in_2005(body), seen);
}

#[test]
fn a_full_listener_takes_nothing_from_the_others() {
    let body = |arm: &mut dyn Arm| {
        let asks = [Ask::Default, Ask::Rcvbuf(0), Ask::Default, Ask::Rcvbuf(4096), Ask::Default];
        let ears = asks.map(|ask| arm.open(GROUP, ask));
        for n in 0..40 {
            arm.send(To::Groups(GROUP), 100, n);
        }
        ears.map(|ear| arm.meminfo(ear))
    };
    let seen = on_both(body);
    assert_eq!(seen.map(|info| info.drops), [0, 38, 0, 31, 0]);
    assert_eq!(seen[0], seen[4]);
}

#[test]
fn each_of_several_listeners_pays_the_whole_charge_though_they_share_the_data() {
    let body = |arm: &mut dyn Arm| {
        let ears = [0; 3].map(|_| arm.open(GROUP, Ask::Default));
        arm.send(To::Groups(GROUP), 300, 1);
        ears.map(|ear| arm.meminfo(ear).rmem_alloc)
    };
    let [first, second, third] = on_both(body);
    assert_eq!((first, second), (second, third));
}

#[test]
fn a_process_reaches_the_lowest_of_several_groups_today_and_reached_all_in_2005() {
    let body = |arm: &mut dyn Arm| {
        let ears = [GROUP, GROUP << 1, GROUP | GROUP << 1].map(|groups| arm.open(groups, Ask::Default));
        arm.send(To::Groups(GROUP | GROUP << 1), 24, 1);
        ears.map(|ear| arm.receive(ear) != Got::Nothing)
    };
    assert_eq!(on_both(body), [true, false, true]);
    assert_eq!(in_2005(body), [true, true, true]);
}

#[test]
fn the_sender_s_address_names_the_group_today_and_named_none_in_2005() {
    let body = |arm: &mut dyn Arm| {
        let ear = arm.open(GROUP | 1, Ask::Default);
        arm.send(To::Groups(GROUP), 24, 1);
        let Got::Message { groups, .. } = arm.receive(ear) else { panic!("no message") };
        groups
    };
    assert_eq!(on_both(body), GROUP);
    assert_eq!(in_2005(body), 0);
}
