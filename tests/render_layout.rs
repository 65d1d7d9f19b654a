//! The memory of a message: whole drawings as snapshots, and the numbers that the recorded kernel gave.

use forklab::render::layout::{Layout, LayoutError, MachineConstants, layout_fork, layout_hotplug};
use uevent::kobject_uevent::KobjectAction;

fn sda(vars: &[(&str, &str)]) -> Result<Layout, LayoutError> {
    layout_hotplug(KobjectAction::Add, "/block/sda", "block", 1043, vars, &MachineConstants::default())
}

#[test]
fn the_patch_sends_24_bytes_in_a_buffer_of_2048() {
    let layout = layout_fork(100, 101, &MachineConstants::default()).expect("a message");
    insta::assert_snapshot!("fork", layout.to_string());
    let (skb, trimmed) = (&layout.skb, layout.skb.trimmed.expect("trimmed"));
    assert_eq!((skb.alloc_size, skb.sent.data_area, skb.sent.kmalloc.size), (1040, 1088, 1400));
    assert_eq!((skb.sent.kmalloc.size_class, skb.sent.tail_room, skb.sent.truesize), (Some(2048), 1064, 1320));
    assert_eq!((trimmed.data_area, trimmed.truesize), (64, 256));
}

#[test]
fn an_event_with_keys_reserves_28_bytes_for_its_number() {
    let layout = sda(&[("MAJOR", "8"), ("MINOR", "0")]).expect("a message");
    insta::assert_snapshot!("hotplug", layout.to_string());
    let seqnum = &layout.buffers[0].pieces[3];
    assert_eq!((seqnum.bytes.to_string().as_str(), seqnum.reserved), ("SEQNUM=1043\\0", 28));
}

#[test]
fn the_places_of_the_slots_are_those_where_the_strings_lie() {
    let layout = sda(&[("MAJOR", "8")]).expect("a message");
    let pieces = &layout.buffers[0].pieces;
    assert!(pieces.windows(2).all(|pair| pair[0].offset + pair[0].reserved == pair[1].offset));
    let sent: Vec<_> = layout.slots.iter().filter(|slot| slot.sent).collect();
    assert_eq!(sent.len(), pieces.len());
    for (slot, piece) in sent.iter().zip(pieces) {
        assert_eq!(slot.points_to, format!("buffer + {:#05x}", piece.offset));
        assert_eq!(slot.string, piece.bytes);
    }
}

#[test]
fn the_strings_of_the_sent_slots_are_the_message() {
    for layout in [layout_fork(-7, 32_767, &MachineConstants::default()), sda(&[("MAJOR", "8")])] {
        let layout = layout.expect("a message");
        let sent = layout.slots.iter().filter(|slot| slot.sent).flat_map(|slot| slot.string.0.clone());
        assert_eq!(layout.skb.bytes.0[layout.skb.header_len..], sent.collect::<Vec<_>>());
    }
}

#[test]
fn another_machine_has_other_sizes() {
    let mut machine = MachineConstants::default();
    machine.machine.smp_cache_bytes = 128;
    machine.kernel.sizeof_sk_buff = 280;
    let skb = layout_fork(100, 101, &machine).expect("a message").skb;
    assert_eq!((skb.sent.data_area, skb.sent.kmalloc.size, skb.sent.truesize), (1152, 1464, 1432));
    assert_eq!(skb.trimmed.map(|area| area.data_area), Some(128));
}

#[test]
fn an_environment_that_uses_the_room_is_not_trimmed() {
    let value = "x".repeat(700);
    let layout = sda(&[("LONG", &value)]).expect("fits");
    assert_eq!(layout.skb.trimmed, None);
    assert!(layout.to_string().contains("netlink_trim(): kept"));
}

#[test]
fn what_cannot_be_sent_cannot_be_drawn() {
    let machine = MachineConstants::default();
    let too_much = "x".repeat(1000);
    assert_eq!(sda(&[("LONG", &too_much)]), Err(LayoutError::NotSent));
    let path = LayoutError::Path("block//sda".into());
    assert_eq!(layout_hotplug(KobjectAction::Add, "block//sda", "block", 1, &[], &machine), Err(path));
    let long = format!("/{}", "d".repeat(1100));
    let broken = layout_hotplug(KobjectAction::Add, &long, "block", 1, &[], &machine);
    assert!(matches!(&broken, Err(LayoutError::Broken(why)) if why.contains("skb_over_panic")), "{broken:?}");
    let silent = MachineConstants {
        kernel: uevent::Config { kobject_uevent: false, ..uevent::Config::default() },
        ..MachineConstants::default()
    };
    assert!(layout_fork(100, 101, &silent).is_err());
}

/// The event of an object whose path has so many characters.
fn path_of(characters: usize) -> Result<Layout, LayoutError> {
    let path = format!("/{}", "a".repeat(characters - 1));
    layout_hotplug(KobjectAction::Add, &path, "block", 1, &[], &MachineConstants::default())
}

#[test]
fn a_path_of_any_length_is_drawn_if_and_only_if_the_kernel_sends_it() {
    for characters in 940..1100 {
        let layout = path_of(characters);
        let sent = !matches!(characters, 1000..1020 | 1032..);
        assert_eq!(layout.is_ok(), sent, "{characters}");
        let Ok(layout) = layout else { continue };
        let buffer = &layout.buffers[0];
        assert_eq!(buffer.overflow, characters.saturating_sub(979), "{characters}");
        assert_eq!(layout.violations.is_empty(), characters < 980, "{characters}");
        assert_eq!(buffer.pieces[3].reserved, 28, "{characters}");
        let text = layout.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn bytes_past_the_end_of_the_buffer_are_drawn_behind_it() {
    let text = path_of(985).expect("sent").to_string();
    let (_, drawn) = text.split_once("   03f0").expect("the last row of the buffer");
    let rows: Vec<_> = drawn.lines().take(3).collect();
    assert_eq!(rows[1], "   0400  … the buffer ends here, and this was written all the same:");
    assert_eq!(rows[2], "   0400  4e 55 4d 3d 31 00                                 |NUM=1.|");
    let kept = path_of(965).expect("sent").to_string();
    assert!(kept.contains(" 1010 bytes written, 14 kept free, 0 left\n") && !kept.contains("ends here"), "{kept}");
}

#[test]
fn every_line_fits_into_80_columns() {
    let name = "n".repeat(300);
    let long = layout_hotplug(
        KobjectAction::Change,
        &format!("/{name}"),
        &name,
        u64::MAX,
        &[("K", &name)],
        &MachineConstants::default(),
    );
    for layout in [layout_fork(i32::MIN, i32::MAX, &MachineConstants::default()), sda(&[]), long] {
        let text = layout.expect("a message").to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn the_json_of_a_layout_shows_bytes_as_text() {
    let layout = layout_fork(100, 101, &MachineConstants::default()).expect("a message");
    let json = serde_json::to_value(&layout).expect("plain data");
    assert_eq!(json["skb"]["bytes"], r"fork@/fork_kobj\0100\0101\0");
    assert_eq!(json["slots"][2]["string"], r"100\0");
    assert_eq!(json["skb"]["sent"]["kmalloc"]["size_class"], 2048);
}
