use super::fixtures::fixtures;
use super::*;

#[test]
fn every_fixture_divided_anywhere() {
    for (name, bytes) in fixtures() {
        let whole = format!("{:?}", steps([&bytes[..]]));
        assert_eq!(format!("{:?}", steps(bytes.chunks(1))), whole, "{name}, byte by byte");
        for at in 0..=bytes.len() {
            let (before, after) = bytes.split_at(at);
            assert_eq!(format!("{:?}", steps([before, after])), whole, "{name} at {at}");
        }
    }
}

/// An answer that ends too early gives what has come, and is not whole.
#[test]
fn an_answer_cut_anywhere() {
    let bytes = encoded(&answer("はい"));
    for at in 0..bytes.len() {
        let cut = steps([&bytes[..at]]);
        assert!(matches!(cut.last(), Some(Step::Failed(InvokeError::Truncated))), "{at}");
        assert!("はい".starts_with(&joined(&cut)), "{at}");
    }
}

/// Every way to divide a text's bytes over two or over single bytes' deltas.
#[test]
fn characters_divided_over_deltas() {
    for text in ["é", "日", "😀", "aé日😀z", "👩‍👩‍👧", "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}"]
    {
        let bytes = text.as_bytes();
        let mut cases: Vec<Vec<&[u8]>> =
            (0..=bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]).collect();
        cases.push(bytes.chunks(1).collect());
        for pieces in cases {
            let deltas: Vec<u8> = pieces.iter().flat_map(|it| encode(&raw_delta(it))).collect();
            let steps = steps([&begun()[..], &deltas, &closing()]);
            let Some(Step::Done(generated)) = steps.last() else { panic!("{pieces:?}: {steps:?}") };
            assert_eq!(generated.text, format!("はい{text}"), "{pieces:?}");
            assert_eq!(joined(&steps), generated.text, "{pieces:?}");
        }
    }
}
