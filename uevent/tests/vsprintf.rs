//! `vsnprintf` against recordings of the genuine function, against Rust's own formatting, and rule by rule.

use forklab_uevent::vsprintf::{Arg, vsnprintf};
use proptest::prelude::*;
use serde_json::Value;

/// Formats into a buffer that is large enough.
fn format(format: &str, args: &[Arg]) -> String {
    let mut out = [0xff; 1024];
    let length = vsnprintf(&mut out, 1024, format.as_bytes(), args);
    assert_eq!(out[length], 0, "no NUL after the text");
    String::from_utf8(out[..length].to_vec()).expect("tests print UTF-8")
}

fn int(spec: &str, number: i64) -> String {
    format(spec, &[Arg::Int(number)])
}

fn hex(bytes: &Value) -> Vec<u8> {
    let text = bytes["hex"].as_str().expect("hex");
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

#[test]
fn the_name_array_is_what_the_genuine_kobject_set_name_left_in_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/vectors/set_name.json");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).expect(path)).expect("JSON");
    assert_eq!(cases.len(), 58);
    for case in cases {
        let input = &case["input"];
        let strings: Vec<_> =
            input["args"].as_array().expect("args").iter().map(|arg| arg.get("hex").map(|_| hex(arg))).collect();
        let args: Vec<_> = std::iter::zip(input["args"].as_array().expect("args"), &strings)
            .map(|(arg, string)| match string {
                Some(string) => Arg::Str(string),
                None => Arg::Int(arg.as_i64().expect("an int")),
            })
            .collect();
        // The array holds the name before, cut to 19 characters and a NUL.
        let mut name = [0; 20];
        if !input["previous"].is_null() {
            let previous = hex(&input["previous"]);
            let kept = previous.len().min(19);
            name[..kept].copy_from_slice(&previous[..kept]);
        }
        let format = input["format"].as_str().expect("format").as_bytes();
        let length = vsnprintf(&mut name, 20, format, &args);
        let expect = &case["expect"];
        assert_eq!(name[..], hex(&expect["name_array"]), "{}", case["id"]);
        let failed = expect["rc"] != 0;
        if !failed {
            assert_eq!(length, hex(&expect["k_name"]).len(), "{}", case["id"]);
            assert_eq!(length < 20, expect["k_name_is_static_array"] == true, "{}", case["id"]);
        }
    }
}

#[test]
fn size_0_writes_nothing_and_returns_the_whole_length() {
    let mut out = *b"untouched";
    assert_eq!(vsnprintf(&mut out, 0, b"%d", &[Arg::Int(1234)]), 4);
    assert_eq!(&out, b"untouched");
}

#[test]
fn a_negative_size_writes_nothing_and_returns_0() {
    let mut out = *b"untouched";
    assert_eq!(vsnprintf(&mut out, -1, b"text", &[]), 0);
    assert_eq!(&out, b"untouched");
}

#[test]
fn a_size_larger_than_the_buffer_writes_up_to_its_end_and_tells_the_length() {
    let mut out = [0xff; 4];
    assert_eq!(vsnprintf(&mut out, i32::MAX, b"%s", &[Arg::Str(b"123456")]), 6);
    assert_eq!(&out, b"1234");
}

#[test]
fn the_greatest_width_is_counted_at_once() {
    let mut out = [0xff; 4];
    assert_eq!(vsnprintf(&mut out, 4, b"%2147483647d|", &[Arg::Int(1)]), 1 << 31);
    assert_eq!(&out, b"   \0");
}

#[test]
fn minus_cancels_0() {
    assert_eq!(int("%-05d|", 42), "42   |");
}

#[test]
fn plus_and_space_act_on_signed_numbers_only() {
    assert_eq!(format("%+d % d %+u % x", &[Arg::Int(5), Arg::Int(5), Arg::Int(5), Arg::Int(5)]), "+5  5 5 5");
    assert_eq!(int("%+ d", 5), "+5");
}

#[test]
fn sharp_adds_its_prefix_even_to_zero() {
    assert_eq!([int("%#x", 0), int("%#X", 255), int("%#o", 0), int("%#d", 7)], ["0x0", "0XFF", "00", "7"]);
}

#[test]
fn zeros_go_after_sign_and_prefix() {
    assert_eq!([int("%06d", -42), int("%#06x", 255)], ["-00042", "0x00ff"]);
}

#[test]
fn a_precision_is_a_least_number_of_digits_and_does_not_cancel_0() {
    assert_eq!([int("%.3d", 5), int("%8.3d", -5), int("%08.3d", -5)], ["005", "    -005", "-0000005"]);
}

#[test]
fn precision_0_of_value_0_still_prints_0() {
    assert_eq!([int("%.0d", 0), int("%.d", 0)], ["0", "0"]);
}

#[test]
fn a_bare_point_cuts_a_string_to_nothing() {
    assert_eq!(format("[%.s] [%.2s] [%5.2s]", &[Arg::Str(b"abc"); 3]), "[] [ab] [   ab]");
}

#[test]
fn strings_and_characters_are_padded_with_spaces_even_by_0() {
    assert_eq!(format("%05s|%05c|%-3c|", &[Arg::Str(b"ab"), Arg::Int(99), Arg::Int(100)]), "   ab|    c|d  |");
}

#[test]
fn qualifiers_choose_how_many_bits_are_looked_at() {
    let wide = 0x1_2345_8001;
    assert_eq!([int("%hx", wide), int("%x", wide), int("%lx", wide)], ["8001", "23458001", "123458001"]);
    assert_eq!([int("%hd", wide), int("%hu", wide)], ["-32767", "32769"]);
    for qualifier in ["l", "ll", "L", "Z", "z"] {
        assert_eq!(int(&format!("%{qualifier}u"), -1), u64::MAX.to_string());
        assert_eq!(int(&format!("%{qualifier}d"), i64::MIN), i64::MIN.to_string());
    }
}

#[test]
fn a_star_takes_an_argument_and_a_negative_width_means_left() {
    assert_eq!(format("%*d|%-*d|", &[4, 7, 4, 7].map(Arg::Int)), "   7|7   |");
    assert_eq!(format("%*d|%.*s|", &[Arg::Int(-4), Arg::Int(7), Arg::Int(-1), Arg::Str(b"abc")]), "7   ||");
    let least = [Arg::Int(i32::MIN.into()), Arg::Int(7)];
    assert_eq!(format("%*d|", &least), "7|", "its negative is itself");
}

#[test]
fn a_pointer_is_16_digits_unless_a_width_is_given() {
    assert_eq!(
        [int("%p", 0xbeef), int("%5p", 0xbeef), int("%p", -1)],
        ["000000000000beef", " beef", "ffffffffffffffff"]
    );
}

#[test]
fn a_null_string_is_printed_as_such_and_cut_by_the_precision() {
    assert_eq!(format("%s|%.3s|%8s", &[Arg::Null; 3]), "<NULL>|<NU|  <NULL>");
    assert_eq!(int("%s", 4095), "<NULL>");
}

#[test]
fn an_unknown_letter_is_printed_with_its_percent_and_nothing_between() {
    assert_eq!(format("%5y %-#08.3lk", &[]), "%y %k");
}

#[test]
fn two_percents_are_one_whatever_stands_between() {
    assert_eq!(format("%% %5% %-.2l%", &[]), "% % %");
}

#[test]
fn a_format_that_ends_inside_a_specification_prints_one_percent() {
    assert_eq!(["abc%", "abc%5", "abc%-08.3l"].map(|spec| format(spec, &[])), ["abc%"; 3]);
}

#[test]
fn format_and_strings_end_at_their_first_nul() {
    assert_eq!(format("a%sb\0c", &[Arg::Str(b"x\0y")]), "axb");
}

#[test]
fn missing_arguments_read_as_null() {
    assert_eq!(format("%s %d %*u|", &[]), "<NULL> 0 0|");
}

proptest! {
    #[test]
    fn numbers_print_as_rust_prints_them(number: i64, width in 0..40_usize, precision in 0..25_usize) {
        let (small, wide) = (number as i32, number as u64);
        prop_assert_eq!(int("%d", number), small.to_string());
        prop_assert_eq!(int("%hi", number), (number as i16).to_string());
        prop_assert_eq!(int("%ho", number), format!("{:o}", number as u16));
        prop_assert_eq!(int("%u", number), (number as u32).to_string());
        prop_assert_eq!(int("%llX", number), format!("{wide:X}"));
        prop_assert_eq!(int(&format!("%{width}ld"), number), format!("{number:width$}"));
        prop_assert_eq!(int(&format!("%0{width}d"), number), format!("{small:0width$}"));
        prop_assert_eq!(int(&format!("%+{width}d"), number), format!("{small:+width$}"));
        prop_assert_eq!(int(&format!("%+0{width}d"), number), format!("{small:+0width$}"));
        prop_assert_eq!(int(&format!("%-{width}d"), number), format!("{small:<width$}"));
        prop_assert_eq!(int(&format!("%#0{width}lx"), number), format!("{number:#0width$x}"));
        prop_assert_eq!(int(&format!("%#{width}x"), number), format!("{small:#width$x}"));
        prop_assert_eq!(int(&format!("%-#{width}lx"), number), format!("{number:<#width$x}"));
        prop_assert_eq!(int(&format!("%{width}.{precision}lu"), number), format!("{:>width$}", format!("{wide:0precision$}")));
    }

    #[test]
    fn text_prints_as_rust_prints_it(text in "[ -~]{0,30}", width in 0..40_usize, precision in 0..40_usize) {
        let arg = [Arg::Str(text.as_bytes())];
        prop_assert_eq!(format(&format!("%{width}.{precision}s"), &arg), format!("{text:>width$.precision$}"));
        prop_assert_eq!(format(&format!("%-{width}s"), &arg), format!("{text:<width$}"));
        let first = text.chars().next().unwrap_or('x');
        prop_assert_eq!(int(&format!("%{width}c"), first as i64), format!("{first:>width$}"));
    }

    #[test]
    fn a_smaller_size_gives_the_same_length_a_prefix_and_a_nul(text in "[a-z]{0,40}", number: i32, size in 0..60_usize) {
        let whole = format!("{text}{number:7}");
        let mut out = [0xff; 64];
        let args = [Arg::Str(text.as_bytes()), Arg::Int(number.into())];
        prop_assert_eq!(vsnprintf(&mut out, size as i32, b"%s%7d", &args), whole.len());
        let written = whole.len().min(size.saturating_sub(1));
        prop_assert_eq!(&out[..written], &whole.as_bytes()[..written]);
        if size > 0 {
            prop_assert_eq!(out[written], 0);
        }
        prop_assert!(out[size.min(written + 1)..].iter().all(|&byte| byte == 0xff), "wrote behind the NUL");
    }

    #[test]
    fn no_format_panics(format in "[%a-zLXZ0-9 .*#+-]{0,30}", bytes: Vec<u8>, number: i64, size: i32) {
        let args = [Arg::Int(number), Arg::Str(&bytes), Arg::Null, Arg::Int(number), Arg::Str(&bytes)];
        let mut large = [0xff; 64];
        let length = vsnprintf(&mut large, 64, format.as_bytes(), &args);
        let mut out = [0xff; 64];
        let again = vsnprintf(&mut out, size, format.as_bytes(), &args);
        prop_assert_eq!(again, if size < 0 { 0 } else { length });
    }
}
