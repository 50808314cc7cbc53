//! Decodes a stream, complete and split in two. The steps must be the same, and none may follow the
//! end.

#![no_main]

use std::iter::from_fn;

use bedrock_edge::bedrock::{Decoder, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // With correct CRCs, which a fuzzer does not find.
    check(&with_crcs(bytes));
});

fn check(bytes: &[u8]) {
    // The last two bytes of the input determine the position of the split.
    let position = bytes.last_chunk().map_or(0, |last| usize::from(u16::from_le_bytes(*last)));
    let (before, after) = bytes.split_at(position % (bytes.len() + 1));
    assert_eq!(steps(&[bytes]), steps(&[before, after]));
}

fn steps(chunks: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::default();
    let mut steps = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        steps.extend(from_fn(|| decoder.step()));
    }
    decoder.close();
    steps.extend(from_fn(|| decoder.step()));

    decoder.push(&[0; 16]);
    assert!(decoder.is_over() && decoder.step().is_none());
    let is_end = |step: &Step| matches!(step, Step::Done(_) | Step::Failed(_));
    assert_eq!(steps.iter().position(is_end), Some(steps.len() - 1));
    let texts = steps.iter().filter_map(|step| match step {
        Step::Text(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(texts.collect::<String>(), decoder.so_far().text);
    steps.iter().map(|step| format!("{step:?}")).collect()
}

/// Sets the CRCs of the frames in some bytes.
fn with_crcs(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut rest = bytes.as_mut_slice();
    while rest.len() >= 16 {
        let crc = crc32fast::hash(&rest[..8]);
        rest[8..12].copy_from_slice(&crc.to_be_bytes());
        let length = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
        if !(16..=rest.len()).contains(&length) {
            break;
        }
        let (frame, after) = rest.split_at_mut(length);
        let (content, end) = frame.split_at_mut(length - 4);
        end.copy_from_slice(&crc32fast::hash(content).to_be_bytes());
        rest = after;
    }
    bytes
}
