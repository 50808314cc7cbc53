//! Finds members of a JSON object while its text passes in chunks, and holds no more than their values.
//!
//! Out of scope: whether the text is valid JSON.

/// The longest name in bytes that is compared, with escapes.
const MAX_NAME_BYTES: usize = 256;

/// A scan for members of the outermost object.
#[derive(Debug)]
pub(crate) struct Scan {
    wanted: &'static [&'static str],
    /// The most bytes of a value.
    limit: usize,
    state: State,
    /// The number of open arrays and objects.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// The name or the value that is being read.
    text: Vec<u8>,
    /// The members that were found, in their order: the number among the wanted ones, and the value, or `None` if it is too
    /// long.
    found: Vec<(usize, Option<Vec<u8>>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the object.
    Start,
    /// Before a name.
    Between,
    /// In a name.
    Name,
    /// In the value of a member, or before it: of one of the wanted ones, or of another.
    Value(Option<usize>),
    /// Behind the object.
    Complete,
    /// In something else than an object.
    Over,
}

/// The values of a member in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// There is no such member.
    Missing,
    /// The member is there once, with this JSON.
    Once(&'a [u8]),
    /// The member is there twice, or its value is too long.
    Unclear,
}

impl Scan {
    /// Starts a scan for these members, whose values have `limit` bytes at most.
    pub(crate) fn new(wanted: &'static [&'static str], limit: usize) -> Self {
        Self {
            wanted,
            limit,
            state: State::Start,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            text: Vec::new(),
            found: Vec::new(),
        }
    }

    /// Adds a chunk.
    pub(crate) fn push(&mut self, mut chunk: &[u8]) {
        while let Some((byte, rest)) = chunk.split_first() {
            if self.is_in_string && !self.is_escaped {
                // Most of a text is in strings. memchr compares 16 bytes at a time.
                let end = memchr::memchr2(b'"', b'\\', chunk).unwrap_or(chunk.len());
                if end > 0 {
                    let (text, behind) = chunk.split_at(end);
                    self.keep(text);
                    chunk = behind;
                    continue;
                }
            }
            self.take(*byte);
            chunk = rest;
            if self.is_over() {
                return;
            }
        }
    }

    fn take(&mut self, byte: u8) {
        if self.is_in_string {
            let is_end = byte == b'"' && !self.is_escaped;
            self.is_escaped = byte == b'\\' && !self.is_escaped;
            self.is_in_string = !is_end;
            self.keep(&[byte]);
            if is_end && self.state == State::Name {
                self.state = State::Value(self.number());
                self.text.clear();
            }
            return;
        }
        match (self.state, byte) {
            (_, b' ' | b'\t' | b'\r' | b'\n') => {}
            (State::Start, b'{') => self.state = State::Between,
            (State::Start, _) => self.state = State::Over,
            (State::Between, b'"') => {
                (self.state, self.is_in_string) = (State::Name, true);
                self.keep(b"\"");
            }
            (State::Between, b',') => {}
            (State::Between, b'}') => self.state = State::Complete,
            (State::Between, _) => self.state = State::Over,
            (State::Value(_), b':') if self.depth == 0 && self.text.is_empty() => {}
            (State::Value(number), b',' | b'}') if self.depth == 0 => {
                self.end(number);
                self.state = if byte == b',' { State::Between } else { State::Complete };
            }
            (State::Value(_), _) => {
                match byte {
                    b'"' => self.is_in_string = true,
                    b'[' | b'{' => self.depth += 1,
                    b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                self.keep(&[byte]);
            }
            (State::Name | State::Complete | State::Over, _) => {}
        }
    }

    /// Keeps bytes of a name, or of the value of a wanted member.
    fn keep(&mut self, bytes: &[u8]) {
        let limit = match self.state {
            State::Name => MAX_NAME_BYTES,
            State::Value(Some(_)) => self.limit,
            // That there is something.
            _ => 1,
        };
        // One byte more tells that it is too long.
        let room = (limit + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Returns the number of the name that was read among the wanted ones.
    fn number(&self) -> Option<usize> {
        if self.text.len() > MAX_NAME_BYTES {
            return None;
        }
        let name: String = serde_json::from_slice(&self.text).ok()?;
        self.wanted.iter().position(|wanted| *wanted == name)
    }

    fn end(&mut self, number: Option<usize>) {
        let value = std::mem::take(&mut self.text);
        if let Some(number) = number {
            let value = (value.len() <= self.limit).then_some(value);
            // Two tell that there is more than one.
            if self.found.iter().filter(|(known, _)| *known == number).count() < 2 {
                self.found.push((number, value));
            }
        }
    }

    /// Returns what was found of a wanted member.
    pub(crate) fn found(&self, name: &str) -> Found<'_> {
        let is_it = |number: usize| self.wanted.get(number).is_some_and(|wanted| *wanted == name);
        let mut values = self.found.iter().filter(|(number, _)| is_it(*number));
        match (values.next(), values.next()) {
            (None, _) => Found::Missing,
            (Some((_, Some(value))), None) => Found::Once(value),
            _ => Found::Unclear,
        }
    }

    /// Reports whether nothing more can be found.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Complete | State::Over)
    }

    /// Reports whether there was an object, and it has ended.
    pub(crate) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: &[&str] = &["a", "usage"];

    /// Scans a text in one chunk, in chunks of one byte, and of three.
    fn found(text: &str) -> [Found<'static>; 2] {
        let scan = |size: usize| {
            let mut scan = Scan::new(WANTED, 16);
            text.as_bytes().chunks(size).for_each(|chunk| scan.push(chunk));
            let scan: &'static Scan = Box::leak(Box::new(scan));
            [scan.found("a"), scan.found("usage")]
        };
        let all = [1, 3, usize::MAX].map(scan);
        assert!(all.iter().all(|it| *it == all[0]), "{text}");
        all[0]
    }

    #[test]
    fn a_member_of_the_outermost_object_is_found_in_any_chunks() {
        use Found::{Missing, Once, Unclear};
        let cases: [(&str, Found<'_>, Found<'_>); 22] = [
            ("{}", Missing, Missing),
            (r#"{"a":1}"#, Once(b"1"), Missing),
            (r#"{ "a" : "x" , "usage" : {"b":[1,{}]} }"#, Once(b"\"x\""), Once(br#"{"b":[1,{}]}"#)),
            (r#"{"usage":{"a":1}}"#, Missing, Once(br#"{"a":1}"#)),
            (r#"{"b":{"a":1}}"#, Missing, Missing),
            (r#"{"b":"\"a\":1,","a":2}"#, Once(b"2"), Missing),
            (r#"{"b":"}","a":2}"#, Once(b"2"), Missing),
            (r#"{"b":"\\","a":2}"#, Once(b"2"), Missing),
            (r#"{"b":"\\\"","a":2}"#, Once(b"2"), Missing),
            (r#"{"b":[{"a":1}],"a":"]"}"#, Once(b"\"]\""), Missing),
            (r#"{"\u0061":1}"#, Once(b"1"), Missing),
            (r#"{"a":1,"a":2}"#, Unclear, Missing),
            (r#"{"a":1,"\u0061":2,"a":3}"#, Unclear, Missing),
            (r#"{"a":"0123456789abcdef"}"#, Unclear, Missing),
            (r#"{"a":"0123456789abcd"}"#, Once(b"\"0123456789abcd\""), Missing),
            (r#"{"a":"b:c"}"#, Once(b"\"b:c\""), Missing),
            (r#"{"a":1"#, Missing, Missing),
            (r#"[{"a":1}]"#, Missing, Missing),
            (r#"{"a":1}{"usage":2}"#, Once(b"1"), Missing),
            (r#"{"A":1,"aa":2,"":3}"#, Missing, Missing),
            ("\u{feff}{\"a\":1}", Missing, Missing),
            ("", Missing, Missing),
        ];
        for (text, a, usage) in cases {
            assert_eq!(found(text), [a, usage], "{text}");
        }
    }

    #[test]
    fn a_scan_holds_no_more_than_the_values_that_it_looks_for() {
        let mut scan = Scan::new(WANTED, 16);
        scan.push(b"{\"b\":\"");
        for _ in 0..1000 {
            scan.push(&[b'x'; 1000]);
        }
        scan.push(b"\",\"a\":[");
        for _ in 0..1000 {
            scan.push(b"\"\\\"\",{},");
        }
        assert!(scan.text.capacity() < 1024, "{}", scan.text.capacity());
        scan.push(b"1],\"usage\":1}");
        assert_eq!(scan.found("a"), Found::Unclear);
        assert_eq!(scan.found("usage"), Found::Once(b"1"));
    }
}
