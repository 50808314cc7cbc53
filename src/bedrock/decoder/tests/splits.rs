use super::fixtures::fixtures;
use super::*;

#[test]
fn every_fixture_gives_the_same_steps_wherever_it_is_split() {
    for (name, bytes) in fixtures() {
        let whole = format!("{:?}", steps([&bytes[..]]));
        assert_eq!(format!("{:?}", steps(bytes.chunks(1))), whole, "{name}, byte by byte");
        for at in 0..=bytes.len() {
            let (before, after) = bytes.split_at(at);
            assert_eq!(format!("{:?}", steps([before, after])), whole, "{name} at {at}");
        }
    }
}

#[test]
fn a_reply_that_is_cut_anywhere_gives_what_has_come_and_is_truncated() {
    let bytes = encoded(&events_of("はい"));
    for at in 0..bytes.len() {
        let cut = steps([&bytes[..at]]);
        assert!(matches!(cut.last(), Some(Step::Failed(InvokeError::Truncated))), "{at}");
        assert!("はい".starts_with(&joined(&cut)), "{at}");
    }
}

#[test]
fn characters_may_be_split_across_deltas_anywhere() {
    for text in ["é", "日", "😀", "aé日😀z", "👩‍👩‍👧", "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}"]
    {
        let bytes = text.as_bytes();
        let mut cases: Vec<Vec<&[u8]>> =
            (0..=bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]).collect();
        cases.push(bytes.chunks(1).collect());
        for parts in cases {
            let deltas: Vec<u8> = parts.iter().flat_map(|it| encode(&raw_delta(it))).collect();
            let steps = steps([&begun()[..], &deltas, &closing()]);
            let Some(Step::Done(generated)) = steps.last() else { panic!("{parts:?}: {steps:?}") };
            assert_eq!(generated.text, format!("はい{text}"), "{parts:?}");
            assert_eq!(joined(&steps), generated.text, "{parts:?}");
        }
    }
}
