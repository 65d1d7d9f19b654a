//! The kernel's own formatting, as far as names and environment variables show it.
//!
//! Models `lib/vsprintf.c` (Linux 2.6.11) on a machine whose `long` has 64 bits. `kobject_set_name()` and
//! `add_hotplug_env_var()` go through it, so its limits are theirs.
//!
//! | format | what it prints |
//! |---|---|
//! | `%d` `%i` `%u` `%o` `%x` `%X` | an integer; flags `-`, `+`, space, `#`, `0`; width; a precision is a least number of digits |
//! | `h`, none, `l` `ll` `L` `Z` `z` | the argument's lowest 16, 32 or 64 bits |
//! | `%s` | a C string; a precision is a greatest length; padded with spaces |
//! | `%c` | one byte |
//! | `%p` | 16 hexadecimal digits, no `0x` |
//! | `%%` | `%`, whatever stands between the two |
//! | another letter | `%` and the letter; what stood between vanishes |
//! | `%` at the end | `%` |

/// One variable argument, as the caller pushed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg<'a> {
    /// A pointer to these bytes, which end at the first NUL among them, or else where the slice ends.
    Str(&'a [u8]),
    /// An integer of any size, or a bare address; the conversion looks at as many of its bits as it wants.
    Int(i64),
    /// A NULL pointer.
    Null,
}

/// Formats `args` into a buffer of `size` bytes, and returns how long the text is that was asked for.
///
/// Models `lib/vsprintf.c:vsnprintf()` (Linux 2.6.11).
///
/// - Writes at most `size - 1` bytes of text, then a NUL, and nothing behind it; with size 0 nothing at all.
/// - Returns the length of the whole text, without its NUL: it was truncated if that is `size` or more.
/// - A negative size gives 0 and leaves the buffer alone.
/// - `format` ends at its first NUL, or else where the slice ends.
///
/// # Examples
/// A name of 20 characters does not fit the 20 bytes of `kobj->name`, since its NUL needs one:
/// ```
/// use forklab_uevent::vsprintf::{Arg, vsnprintf};
///
/// let mut name = [0xff; 20];
/// let length = vsnprintf(&mut name, 20, b"abcdefghijklmno%d", &[Arg::Int(12345)]);
/// assert_eq!(length, 20);
/// assert_eq!(&name, b"abcdefghijklmno1234\0");
/// ```
///
/// # Differences from Linux
/// DIFFERENCE: where `size` promises more than `out` has, what would go past its end is counted and not written. The
/// kernel writes it; a caller that models this (`sprintf` is a size of `i32::MAX`) compares the result with `out.len()`.
///
/// DIFFERENCE: the kernel warns once per boot about a negative size. That is state of the machine, so it is the caller's.
///
/// DIFFERENCE: an argument that is missing or has another type is undefined in C. Here a missing one reads as NULL or 0,
/// a string as the number 0, and an integer where a string is wanted as an address that prints `<NULL>`, which is
/// exact below 4,096 only. `%n` takes its argument and stores nothing.
pub fn vsnprintf(out: &mut [u8], size: i32, format: &[u8], args: &[Arg<'_>]) -> usize {
    let Ok(size) = usize::try_from(size) else {
        return 0;
    };
    let mut text = Text { out, size, len: 0 };
    let mut args = Args(args.iter());
    let mut format = Format(until_nul(format));
    while let Some(byte) = format.next() {
        if byte == b'%' {
            let spec = Spec::parse(&mut format, &mut args);
            spec.print(format.next(), &mut args, &mut text);
        } else {
            text.put(byte);
        }
    }
    text.finish()
}

/// The buffer, and how long the text is so far whether or not it fits.
struct Text<'o> {
    out: &'o mut [u8],
    size: usize,
    len: usize,
}

impl Text<'_> {
    fn put(&mut self, byte: u8) {
        self.pad(byte, 1);
    }

    fn put_all(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.put(byte));
    }

    /// Puts `byte` as often as `count` says, which is not at all if that is negative.
    fn pad(&mut self, byte: u8, count: i64) {
        let end = self.len.saturating_add(usize::try_from(count).unwrap_or(0));
        // A width may be 2^31 - 1: fill what exists, count the rest.
        let limit = self.size.min(self.out.len());
        self.out[self.len.min(limit)..end.min(limit)].fill(byte);
        self.len = end;
    }

    fn finish(self) -> usize {
        if let Some(last) = self.size.checked_sub(1)
            && let Some(end) = self.out.get_mut(self.len.min(last))
        {
            *end = 0;
        }
        self.len
    }
}

/// What is left of the arguments: `va_list`.
struct Args<'a>(std::slice::Iter<'a, Arg<'a>>);

impl<'a> Args<'a> {
    fn next(&mut self) -> Arg<'a> {
        self.0.next().copied().unwrap_or(Arg::Null)
    }

    fn number(&mut self) -> i64 {
        match self.next() {
            Arg::Int(number) => number,
            Arg::Str(_) | Arg::Null => 0,
        }
    }

    fn int(&mut self) -> i32 {
        self.number() as i32
    }

    fn string(&mut self) -> &'a [u8] {
        match self.next() {
            Arg::Str(string) => until_nul(string),
            Arg::Int(_) | Arg::Null => b"<NULL>",
        }
    }
}

/// What is left of the format.
struct Format<'a>(&'a [u8]);

impl Format<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.next();
        }
        there
    }

    /// Models `lib/vsprintf.c:skip_atoi()`, where more than an `int` holds is undefined.
    fn skip_atoi(&mut self) -> i32 {
        let mut number = 0_i32;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            self.next();
        }
        number
    }

    /// A number in the format or, for `*`, the next argument.
    fn number(&mut self, args: &mut Args<'_>) -> Option<i32> {
        match self.peek() {
            Some(b'0'..=b'9') => Some(self.skip_atoi()),
            Some(b'*') => {
                self.next();
                Some(args.int())
            }
            _ => None,
        }
    }
}

/// What stands between `%` and the conversion letter.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    special: bool,
    zeropad: bool,
    width: Option<i32>,
    precision: Option<i32>,
    qualifier: Option<u8>,
}

impl Spec {
    fn parse(format: &mut Format<'_>, args: &mut Args<'_>) -> Self {
        let mut spec = Self::default();
        while let Some(flag @ (b'-' | b'+' | b' ' | b'#' | b'0')) = format.peek() {
            match flag {
                b'-' => spec.left = true,
                b'+' => spec.plus = true,
                b' ' => spec.space = true,
                b'#' => spec.special = true,
                _ => spec.zeropad = true,
            }
            format.next();
        }
        spec.width = format.number(args);
        // Only `*` can give a negative width, which means `-`. The negative of the least int is itself, as in C.
        if let Some(width @ ..0) = spec.width {
            spec.left = true;
            spec.width = Some(width.wrapping_neg());
        }
        if format.skip(b'.') {
            spec.precision = Some(format.number(args).unwrap_or(0).max(0));
        }
        if let Some(b'h' | b'l' | b'L' | b'Z' | b'z') = format.peek() {
            spec.qualifier = format.next();
            if spec.qualifier == Some(b'l') {
                format.skip(b'l');
            }
        }
        spec
    }

    fn print(mut self, conversion: Option<u8>, args: &mut Args<'_>, text: &mut Text<'_>) {
        match conversion {
            Some(b'c') => self.padded(&[args.int() as u8], text),
            Some(b's') => {
                let string = args.string();
                let longest = self.precision.map_or(string.len(), |precision| precision as usize);
                self.padded(&string[..longest.min(string.len())], text);
            }
            Some(b'p') => {
                if self.width.is_none() {
                    self.width = Some(16);
                    self.zeropad = true;
                }
                self.number(None, args.number() as u64, Base::Hex, text);
            }
            Some(b'n') => _ = args.next(),
            Some(b'd' | b'i') => {
                let number = self.signed(args.number());
                let sign = match number {
                    ..0 => Some(b'-'),
                    _ if self.plus => Some(b'+'),
                    _ => self.space.then_some(b' '),
                };
                self.number(sign, number.unsigned_abs(), Base::Decimal, text);
            }
            Some(letter @ (b'u' | b'o' | b'x' | b'X')) => {
                let base = match letter {
                    b'u' => Base::Decimal,
                    b'o' => Base::Octal,
                    b'x' => Base::Hex,
                    _ => Base::LargeHex,
                };
                self.number(None, self.unsigned(args.number()), base, text);
            }
            Some(b'%') | None => text.put(b'%'),
            Some(unknown) => text.put_all(&[b'%', unknown]),
        }
    }

    fn signed(&self, argument: i64) -> i64 {
        match self.qualifier {
            None => i64::from(argument as i32),
            Some(b'h') => i64::from(argument as i16),
            Some(_) => argument,
        }
    }

    fn unsigned(&self, argument: i64) -> u64 {
        match self.qualifier {
            None => u64::from(argument as u32),
            Some(b'h') => u64::from(argument as u16),
            Some(_) => argument as u64,
        }
    }

    /// Prints text on the side that the flags want, with spaces on the other.
    fn padded(&self, bytes: &[u8], text: &mut Text<'_>) {
        let spaces = i64::from(self.width.unwrap_or(0)) - bytes.len() as i64;
        if !self.left {
            text.pad(b' ', spaces);
        }
        text.put_all(bytes);
        if self.left {
            text.pad(b' ', spaces);
        }
    }

    /// Models `lib/vsprintf.c:number()`: spaces, sign, prefix, zeros of the flag, zeros of the precision, digits, spaces.
    fn number(&self, sign: Option<u8>, number: u64, base: Base, text: &mut Text<'_>) {
        let digits = match base {
            Base::Decimal => format!("{number}"),
            Base::Octal => format!("{number:o}"),
            Base::Hex => format!("{number:x}"),
            Base::LargeHex => format!("{number:X}"),
        };
        let prefix: &[u8] = match base {
            Base::Octal if self.special => b"0",
            Base::Hex if self.special => b"0x",
            Base::LargeHex if self.special => b"0X",
            _ => b"",
        };
        let zeros = (i64::from(self.precision.unwrap_or(0)) - digits.len() as i64).max(0);
        let used = sign.iter().len() + prefix.len() + digits.len();
        let padding = i64::from(self.width.unwrap_or(0)) - used as i64 - zeros;
        if !self.left && !self.zeropad {
            text.pad(b' ', padding);
        }
        text.put_all(sign.as_slice());
        text.put_all(prefix);
        // A precision does not cancel the flag `0`, as it would in C's own library.
        if !self.left && self.zeropad {
            text.pad(b'0', padding);
        }
        text.pad(b'0', zeros);
        text.put_all(digits.as_bytes());
        if self.left {
            text.pad(b' ', padding);
        }
    }
}

/// The digits of a number.
#[derive(Clone, Copy)]
enum Base {
    Octal,
    Decimal,
    Hex,
    LargeHex,
}

/// The bytes of a C string.
fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
