use proptest::collection::vec;
use proptest::prelude::*;
use time::{Date, Month, Time};

use super::*;

const LEASE: u64 = 900;

/// Returns a time in UTC as seconds since the epoch.
fn at(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> u64 {
    let date = Date::from_calendar_date(year, Month::try_from(month).unwrap(), day).unwrap();
    let time = Time::from_hms(hour, minute, second).unwrap();
    date.with_time(time).assume_utc().unix_timestamp().try_into().unwrap()
}

fn reserve(id: impl ToString, tokens: u64, budget: Budget) -> Message {
    Message::Reserve { id: id.to_string(), tokens, lease: LEASE, budget, replaces: None }
}

/// Reserves for another attempt of a request, whose last one used tokens.
fn reserve_again(id: impl ToString, tokens: u64, budget: Budget, last: (&str, u64)) -> Message {
    let replaces = Some((last.0.to_owned(), last.1));
    Message::Reserve { id: id.to_string(), tokens, lease: LEASE, budget, replaces }
}

fn settle(id: impl ToString, tokens: u64) -> Message {
    Message::Settle { id: id.to_string(), tokens }
}

fn daily(tokens: u64) -> Budget {
    Budget { daily_tokens: Some(tokens), ..Budget::default() }
}

fn monthly(tokens: u64) -> Budget {
    Budget { monthly_tokens: Some(tokens), ..Budget::default() }
}

fn in_flight(requests: u64) -> Budget {
    Budget { max_in_flight: Some(requests), ..Budget::default() }
}

/// Returns (in flight, used today, reserved today, used this month, reserved this month).
fn numbers(ledger: &mut Ledger, now: u64) -> (u64, u64, u64, u64, u64) {
    let Standing { in_flight, today, this_month } = ledger.take(&Message::Usage, now).standing;
    (in_flight, today.used, today.reserved, this_month.used, this_month.reserved)
}

#[test]
fn reserved_and_used_tokens_together_never_exceed_the_budget() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let cases = [
        ("a day", daily(1000), Verdict::DailyTokens, 9),
        ("a month", monthly(1000), Verdict::MonthlyTokens, 9),
        ("in flight", in_flight(7), Verdict::TooManyInFlight, 7),
        (
            "the first that is reached",
            Budget { max_in_flight: Some(20), daily_tokens: Some(500), monthly_tokens: Some(900) },
            Verdict::DailyTokens,
            4,
        ),
        ("no limit but the ledger's own", Budget::default(), Verdict::TooManyInFlight, 1000),
    ];
    for (name, budget, refusal, granted) in cases {
        let mut ledger = Ledger::default();
        let verdicts: Vec<_> =
            (0..1200).map(|id| ledger.take(&reserve(id, 111, budget), now).verdict).collect();
        let (done, refused) = verdicts.split_at(granted);
        assert!(done.iter().all(|it| *it == Verdict::Done), "{name}");
        assert!(refused.iter().all(|it| *it == refusal), "{name}: {:?}", &refused[..3]);

        // A settlement on fewer tokens makes room for the rest.
        ledger.take(&settle(0, 11), now);
        let all = 111 * (granted as u64 - 1);
        assert_eq!(numbers(&mut ledger, now).1, 11, "{name}");
        assert_eq!(numbers(&mut ledger, now).2, all, "{name}");
        let room = |limit: Option<u64>| limit.map_or(u64::MAX, |limit| limit - 11 - all);
        let room = room(budget.daily_tokens).min(room(budget.monthly_tokens));
        if room < u64::MAX {
            let verdict = ledger.take(&reserve("more", room + 1, budget), now).verdict;
            assert_eq!(verdict, refusal, "{name}");
        }
        let verdict = ledger.take(&reserve("rest", room.min(1 << 40), budget), now).verdict;
        assert_eq!(verdict, Verdict::Done, "{name}");
    }
}

#[test]
fn a_reservation_that_is_never_settled_expires_and_counts_as_used() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let budget = Budget { max_in_flight: Some(1), ..daily(100) };
    let mut ledger = Ledger::default();
    assert_eq!(ledger.take(&reserve("crashed", 100, budget), now).verdict, Verdict::Done);
    for (after, verdict) in [(1, Verdict::TooManyInFlight), (LEASE - 1, Verdict::TooManyInFlight)] {
        assert_eq!(ledger.take(&reserve("next", 100, budget), now + after).verdict, verdict);
        assert_eq!(numbers(&mut ledger, now + after), (1, 0, 100, 0, 100));
    }
    // A crash during the call gives nothing back: Bedrock may have billed it.
    assert_eq!(numbers(&mut ledger, now + LEASE), (0, 100, 0, 100, 0));
    let verdict = ledger.take(&reserve("next", 1, budget), now + LEASE).verdict;
    assert_eq!(verdict, Verdict::DailyTokens);

    // A late settlement says what was used.
    ledger.take(&settle("crashed", 60), now + LEASE + 1);
    assert_eq!(numbers(&mut ledger, now + LEASE + 1), (0, 60, 0, 60, 0));
    assert_eq!(ledger.take(&reserve("next", 40, budget), now + LEASE + 1).verdict, Verdict::Done);
}

#[test]
fn an_expired_reservation_counts_once_for_its_day_and_its_month_for_ever() {
    let made = at(2026, 1, 2, 3, 4, 5);
    let late = at(2026, 1, 31, 23, 50, 0);
    let cases = [
        ("when it expires", made, LEASE, (0, 100, 0, 100, 0)),
        ("at the end of its day", made, 75_354, (0, 100, 0, 100, 0)),
        ("on the next day", made, 75_355, (0, 0, 0, 100, 0)),
        ("when it can no longer be settled", made, LEASE + REMEMBERED, (0, 0, 0, 100, 0)),
        ("at the end of its month", made, 2_580_954, (0, 0, 0, 100, 0)),
        ("in the next month", made, 2_580_955, (0, 0, 0, 0, 0)),
        ("over the end of a month", late, LEASE, (0, 0, 0, 0, 0)),
        ("over the end of a month, forgotten", late, LEASE + REMEMBERED, (0, 0, 0, 0, 0)),
    ];
    for (name, made, after, expected) in cases {
        let mut ledger = Ledger::default();
        ledger.take(&reserve("crashed", 100, Budget::default()), made);
        for _ in 0..3 {
            assert_eq!(numbers(&mut ledger, made + after), expected, "{name}");
        }
        ledger.take(&settle("crashed", 100), made + after);
        assert_eq!(numbers(&mut ledger, made + after), expected, "{name}, settled");
    }
}

#[test]
fn a_retry_is_reserved_beside_what_its_earlier_attempts_used() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let budget = Budget { max_in_flight: Some(1), ..daily(300) };
    let mut ledger = Ledger::default();
    let mut take = |message: Message| ledger.take(&message, now).verdict;
    assert_eq!(take(reserve("first", 137, budget)), Verdict::Done);
    // It takes the place of the first among those in flight. Repeating it changes nothing.
    for _ in 0..2 {
        let second = reserve_again("second", 137, budget, ("first", 137));
        assert_eq!(take(second), Verdict::Done);
    }
    // The third does not fit, and the second is settled all the same.
    for _ in 0..2 {
        let third = reserve_again("third", 137, budget, ("second", 137));
        assert_eq!(take(third), Verdict::DailyTokens);
    }
    assert_eq!(numbers(&mut ledger, now), (0, 274, 0, 274, 0));
}

#[test]
fn a_ledger_that_has_seen_tomorrow_enforces_its_limits_today() {
    let today = at(2026, 1, 31, 12, 0, 0);
    for (name, budget, refusal) in [
        ("a day", daily(1000), Verdict::DailyTokens),
        ("a month", monthly(1000), Verdict::MonthlyTokens),
    ] {
        let mut ledger = Ledger::default();
        // A clock that is a day ahead, which is the next month.
        ledger.take(&Message::Usage, today + DAY);
        let mut take = |message| ledger.take(&message, today).verdict;
        assert_eq!(take(reserve("a", 700, budget)), Verdict::Done, "{name}");
        assert_eq!(take(reserve("b", 700, budget)), refusal, "{name}: reserved tokens count");
        take(settle("a", 600));
        assert_eq!(take(reserve("c", 700, budget)), refusal, "{name}: used tokens count");
        assert_eq!(take(reserve("d", 400, budget)), Verdict::Done, "{name}");
        // A reservation expires by the clock as it is, and counts as used.
        assert_eq!(numbers(&mut ledger, today + LEASE - 1).0, 1, "{name}");
        assert_eq!(numbers(&mut ledger, today + LEASE), (0, 1000, 0, 1000, 0), "{name}");
    }
}

#[test]
fn a_message_that_is_repeated_counts_once() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        assert_eq!(ledger.take(&reserve("a", 50, daily(60)), now).verdict, Verdict::Done);
        assert_eq!(numbers(&mut ledger, now), (1, 0, 50, 0, 50));
    }
    for _ in 0..3 {
        ledger.take(&settle("a", 20), now + 1);
        assert_eq!(numbers(&mut ledger, now + 1), (0, 20, 0, 20, 0));
    }
    ledger.take(&settle("never reserved", 20), now + 1);
    assert_eq!(numbers(&mut ledger, now + 1), (0, 20, 0, 20, 0));
    // The same holds after the reservation has expired.
    ledger.take(&reserve("b", 10, daily(60)), now);
    for _ in 0..3 {
        ledger.take(&settle("b", 7), now + LEASE + 60);
        assert_eq!(numbers(&mut ledger, now + LEASE + 60), (0, 27, 0, 27, 0));
    }
}

#[test]
fn a_settlement_counts_for_the_day_of_its_reservation() {
    let before_midnight = at(2026, 1, 2, 23, 59, 59);
    let midnight = before_midnight + 1;
    let budget = Budget { daily_tokens: Some(100), monthly_tokens: Some(150), ..Budget::default() };
    let mut ledger = Ledger::default();
    assert_eq!(ledger.take(&reserve("over", 100, budget), before_midnight).verdict, Verdict::Done);
    let full = ledger.take(&reserve("late", 1, budget), before_midnight);
    assert_eq!(full.verdict, Verdict::DailyTokens);
    assert_eq!(full.standing.today.ends, midnight);

    // A new day has a new budget, and the month still has the reservation.
    assert_eq!(numbers(&mut ledger, midnight), (1, 0, 0, 0, 100));
    assert_eq!(ledger.take(&reserve("next", 51, budget), midnight).verdict, Verdict::MonthlyTokens);
    assert_eq!(ledger.take(&reserve("next", 50, budget), midnight).verdict, Verdict::Done);
    ledger.take(&settle("over", 80), midnight + 5);
    assert_eq!(numbers(&mut ledger, midnight + 5), (1, 0, 50, 80, 50));
    ledger.take(&settle("next", 30), midnight + 6);
    assert_eq!(numbers(&mut ledger, midnight + 6), (0, 30, 0, 110, 0));
}

#[test]
fn a_settlement_counts_for_the_month_of_its_reservation() {
    let last = at(2026, 1, 31, 23, 59, 59);
    let first = last + 1;
    let mut ledger = Ledger::default();
    ledger.take(&reserve("over", 100, monthly(100)), last);
    let full = ledger.take(&reserve("late", 1, monthly(100)), last);
    assert_eq!((full.verdict, full.standing.this_month.ends), (Verdict::MonthlyTokens, first));
    assert_eq!(numbers(&mut ledger, first), (1, 0, 0, 0, 0));
    assert_eq!(ledger.take(&reserve("next", 100, monthly(100)), first).verdict, Verdict::Done);
    // The reservation belongs to January, which is over.
    ledger.take(&settle("over", 90), first + 1);
    assert_eq!(numbers(&mut ledger, first + 1), (1, 0, 100, 0, 100));
}

#[test]
fn the_ends_of_days_and_months_are_those_of_the_calendar() {
    let cases = [
        ("a day", at(2026, 1, 2, 3, 4, 5), at(2026, 1, 3, 0, 0, 0), at(2026, 2, 1, 0, 0, 0)),
        (
            "a first second",
            at(2026, 1, 1, 0, 0, 0),
            at(2026, 1, 2, 0, 0, 0),
            at(2026, 2, 1, 0, 0, 0),
        ),
        (
            "a last second",
            at(2026, 4, 30, 23, 59, 59),
            at(2026, 5, 1, 0, 0, 0),
            at(2026, 5, 1, 0, 0, 0),
        ),
        ("a February", at(2027, 2, 28, 12, 0, 0), at(2027, 3, 1, 0, 0, 0), at(2027, 3, 1, 0, 0, 0)),
        (
            "before a leap day",
            at(2028, 2, 28, 12, 0, 0),
            at(2028, 2, 29, 0, 0, 0),
            at(2028, 3, 1, 0, 0, 0),
        ),
        ("a leap day", at(2028, 2, 29, 12, 0, 0), at(2028, 3, 1, 0, 0, 0), at(2028, 3, 1, 0, 0, 0)),
        (
            "a year that is not a leap year",
            at(2100, 2, 28, 12, 0, 0),
            at(2100, 3, 1, 0, 0, 0),
            at(2100, 3, 1, 0, 0, 0),
        ),
        ("a year", at(2026, 12, 31, 23, 59, 59), at(2027, 1, 1, 0, 0, 0), at(2027, 1, 1, 0, 0, 0)),
    ];
    for (name, now, day, month) in cases {
        let standing = Ledger::default().take(&Message::Usage, now).standing;
        assert_eq!((standing.today.ends, standing.this_month.ends), (day, month), "{name}");
    }
}

#[test]
fn a_new_day_and_a_new_month_start_at_zero() {
    let cases = [
        ("the next day", at(2026, 1, 3, 0, 0, 0), (0, 0, 0, 40, 0)),
        ("the same day of the next month", at(2026, 2, 2, 3, 4, 5), (0, 0, 0, 0, 0)),
        ("the same day of the next year", at(2027, 1, 2, 3, 4, 5), (0, 0, 0, 0, 0)),
        // A clock that goes back does not free any tokens.
        ("an hour before, on the day before", at(2026, 1, 1, 23, 4, 5), (0, 40, 0, 40, 0)),
        ("the month before", at(2025, 12, 31, 3, 4, 5), (0, 40, 0, 40, 0)),
    ];
    for (name, then, expected) in cases {
        let now = at(2026, 1, 2, 3, 4, 5);
        let mut ledger = Ledger::default();
        ledger.take(&reserve("a", 100, daily(100)), now);
        ledger.take(&settle("a", 40), now);
        assert_eq!(numbers(&mut ledger, then), expected, "{name}");
    }
}

#[test]
fn a_ledger_has_a_greatest_size() {
    let begin = at(2026, 1, 2, 3, 4, 5);
    let mut ledger = Ledger::default();
    let mut longest = 0;
    // Nothing is ever settled.
    for id in 0..5000 {
        ledger.take(&reserve(id, 1, Budget::default()), begin + id);
        longest = longest.max(ledger.leases.len());
    }
    assert_eq!(longest, 2000);
    assert!(to_json(&ledger).len() < 200_000);
    // What is no longer stored is counted.
    let used = |ledger: &mut Ledger, now| {
        let (in_flight, _, _, used, reserved) = numbers(ledger, now);
        (in_flight + used, reserved)
    };
    let Standing { in_flight, this_month, .. } =
        ledger.take(&Message::Usage, begin + 5000).standing;
    assert_eq!((in_flight, this_month.used + this_month.reserved), (899, 5000));
    let end = begin + 5000 + LEASE + REMEMBERED;
    assert_eq!(used(&mut ledger, end), (5000, 0));
    assert_eq!(ledger.leases, []);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let budget = Budget { max_in_flight: Some(u64::MAX), ..monthly(u64::MAX) };
    let mut ledger = Ledger::default();
    for id in 0..3 {
        ledger.take(&reserve(id, u64::MAX, budget), now);
        ledger.take(&settle(id, u64::MAX), now);
    }
    assert_eq!(numbers(&mut ledger, now).1, u64::MAX);
    ledger.take(&reserve("a", u64::MAX, Budget::default()), u64::MAX);
    assert_eq!(numbers(&mut ledger, u64::MAX).0, 0);
}

/// A Worker and its Durable Object can be of different versions.
#[test]
fn the_json_of_messages_ledgers_and_replies_is_pinned() {
    let now = at(2026, 1, 2, 3, 4, 5);
    let budget =
        Budget { max_in_flight: Some(2), daily_tokens: Some(1000), monthly_tokens: Some(20_000) };
    let steps = [
        (
            reserve("00000000-0000-4000-8000-00000000002a", 150, budget),
            r#"{"reserve":"00000000-0000-4000-8000-00000000002a","tokens":150,"lease":900,"max_in_flight":2,"daily_tokens":1000,"monthly_tokens":20000}"#,
            r#"{"day":20455,"today":0,"this_month":0,"leases":[{"id":"00000000-0000-4000-8000-00000000002a","made":1767323045,"expires":1767323945,"tokens":150}]}"#,
            r#"{"verdict":"done","in_flight":1,"today":{"used":0,"reserved":150,"ends":1767398400},"this_month":{"used":0,"reserved":150,"ends":1769904000}}"#,
        ),
        (
            settle("00000000-0000-4000-8000-00000000002a", 36),
            r#"{"settle":"00000000-0000-4000-8000-00000000002a","tokens":36}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[]}"#,
            r#"{"verdict":"done","in_flight":0,"today":{"used":36,"reserved":0,"ends":1767398400},"this_month":{"used":36,"reserved":0,"ends":1769904000}}"#,
        ),
        (
            reserve("b", 965, Budget { daily_tokens: Some(1000), ..Budget::default() }),
            r#"{"reserve":"b","tokens":965,"lease":900,"daily_tokens":1000}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[]}"#,
            r#"{"verdict":"daily_tokens","in_flight":0,"today":{"used":36,"reserved":0,"ends":1767398400},"this_month":{"used":36,"reserved":0,"ends":1769904000}}"#,
        ),
        (
            reserve_again("c", 965, daily(1001), ("b", 7)),
            r#"{"reserve":"c","tokens":965,"lease":900,"daily_tokens":1001,"replaces":"b","used":7}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[{"id":"c","made":1767323045,"expires":1767323945,"tokens":965}]}"#,
            r#"{"verdict":"done","in_flight":1,"today":{"used":36,"reserved":965,"ends":1767398400},"this_month":{"used":36,"reserved":965,"ends":1769904000}}"#,
        ),
        (
            reserve_again("d", 900, daily(1000), ("c", 0)),
            r#"{"reserve":"d","tokens":900,"lease":900,"daily_tokens":1000,"replaces":"c","used":0}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[{"id":"d","made":1767323045,"expires":1767323945,"tokens":900}]}"#,
            r#"{"verdict":"done","in_flight":1,"today":{"used":36,"reserved":900,"ends":1767398400},"this_month":{"used":36,"reserved":900,"ends":1769904000}}"#,
        ),
        (
            settle("d", 0),
            r#"{"settle":"d","tokens":0}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[]}"#,
            r#"{"verdict":"done","in_flight":0,"today":{"used":36,"reserved":0,"ends":1767398400},"this_month":{"used":36,"reserved":0,"ends":1769904000}}"#,
        ),
        (
            Message::Usage,
            r#"{"usage":true}"#,
            r#"{"day":20455,"today":36,"this_month":36,"leases":[]}"#,
            r#"{"verdict":"done","in_flight":0,"today":{"used":36,"reserved":0,"ends":1767398400},"this_month":{"used":36,"reserved":0,"ends":1769904000}}"#,
        ),
    ];
    let mut stored = None;
    for (message, text, after, reply) in steps {
        assert_eq!(message.to_json(), text);
        assert_eq!(Message::parse(text), Some(message));
        let (changed, actual) = Ledger::exchange(stored.as_deref(), text, now).unwrap();
        stored = changed.or(stored);
        assert_eq!(stored.as_deref(), Some(after), "{text}");
        assert_eq!(to_json(&from_json::<Ledger>(after).unwrap()), after);
        assert_eq!(actual, reply, "{text}");
        assert_eq!(to_json(&Reply::parse(reply).unwrap()), reply);
    }
    // Messages that change nothing cause no write.
    let (changed, _) = Ledger::exchange(stored.as_deref(), r#"{"usage":true}"#, now).unwrap();
    assert_eq!(changed, None);
    for (name, verdict) in [
        ("done", Verdict::Done),
        ("too_many_in_flight", Verdict::TooManyInFlight),
        ("daily_tokens", Verdict::DailyTokens),
        ("monthly_tokens", Verdict::MonthlyTokens),
    ] {
        let text = format!(
            r#"{{"verdict":"{name}","in_flight":0,"today":{{"used":0,"reserved":0,"ends":0}},"this_month":{{"used":0,"reserved":0,"ends":0}},"new":1}}"#
        );
        assert_eq!(Reply::parse(&text).unwrap().verdict, verdict);
    }
}

/// An empty ledger would allow everything.
#[test]
fn a_text_of_another_program_is_not_taken_for_an_empty_ledger() {
    let good = r#"{"day":20455,"today":0,"this_month":0,"leases":[]}"#;
    let message = r#"{"usage":true}"#;
    let cases = [
        ("nothing stored", Some(""), message),
        ("cut off", Some(&good[..20]), message),
        ("no number", Some(r#"{"day":20455,"today":"0","this_month":0,"leases":[]}"#), message),
        (
            "a negative number",
            Some(r#"{"day":20455,"today":-1,"this_month":0,"leases":[]}"#),
            message,
        ),
        ("no leases", Some(r#"{"day":20455,"today":0,"this_month":0}"#), message),
        (
            "half a lease",
            Some(r#"{"day":20455,"today":0,"this_month":0,"leases":[{"id":"a"}]}"#),
            message,
        ),
        ("no message", Some(good), ""),
        ("an unknown message", Some(good), r#"{"forgive":true}"#),
        ("a reservation without tokens", Some(good), r#"{"reserve":"a","lease":900}"#),
        ("a settlement without tokens", None, r#"{"settle":"a"}"#),
    ];
    for (name, stored, message) in cases {
        assert_eq!(Ledger::exchange(stored, message, 0), None, "{name}");
    }
    assert!(Ledger::exchange(Some(good), message, 0).is_some());
}

/// A request starts, fails and is retried, or ends, or time passes.
#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    Retry { which: usize, percent: u64 },
    Settle { which: usize, percent: u64 },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..400_u64).prop_map(Step::Reserve),
        (0..8_usize, 0..=100_u64).prop_map(|(which, percent)| Step::Retry { which, percent }),
        (0..8_usize, 0..=100_u64).prop_map(|(which, percent)| Step::Settle { which, percent }),
        // Shorter than a lease, and over midnights.
        (0..LEASE / 2).prop_map(Step::Pass),
        Just(Step::Pass(DAY / 3)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As long as calls use no more than they reserved. Those that never end count as they are reserved.
    #[test]
    fn no_order_of_messages_exceeds_a_limit_or_loses_tokens(steps in vec(step(), 1..200)) {
        let budget = Budget { max_in_flight: Some(5), daily_tokens: Some(1000), monthly_tokens: Some(1500) };
        let mut now = at(2026, 1, 30, 12, 0, 0);
        let mut stored: Option<String> = None;
        let mut open: Vec<(String, u64, u64)> = Vec::new();
        // By day and by month, as Bedrock would bill.
        let mut billed = std::collections::BTreeMap::<(u64, u64), u64>::new();
        for (number, step) in steps.into_iter().enumerate() {
            let message = match step {
                Step::Pass(seconds) => {
                    now += seconds;
                    for (_, tokens, made) in open.extract_if(.., |(_, _, made)| *made + LEASE <= now) {
                        let day = made / DAY;
                        *billed.entry((month_of(day).start, day)).or_default() += tokens;
                    }
                    Message::Usage
                }
                Step::Reserve(tokens) => reserve(number, tokens, budget),
                Step::Retry { which, percent } | Step::Settle { which, percent } => {
                    if open.is_empty() {
                        continue;
                    }
                    let (id, tokens, made) = open.remove(which % open.len());
                    let used = tokens * percent / 100;
                    let day = made / DAY;
                    *billed.entry((month_of(day).start, day)).or_default() += used;
                    match step {
                        Step::Retry { .. } => reserve_again(number, tokens, budget, (&id, used)),
                        _ => settle(id, used),
                    }
                }
            };
            let (changed, reply) = Ledger::exchange(stored.as_deref(), &message.to_json(), now).unwrap();
            stored = changed.or(stored);
            let Reply { verdict, standing } = Reply::parse(&reply).unwrap();
            if let (Message::Reserve { id, tokens, .. }, Verdict::Done) = (message, verdict) {
                open.push((id, tokens, now));
            }
            prop_assert_eq!(standing.in_flight, open.len() as u64);
            prop_assert!(standing.in_flight <= 5);
            prop_assert!(standing.today.used + standing.today.reserved <= 1000);
            prop_assert!(standing.this_month.used + standing.this_month.reserved <= 1500);
            let (day, month) = (now / DAY, month_of(now / DAY).start);
            let of_day: u64 = billed.iter().filter(|((_, it), _)| *it == day).map(|(_, it)| it).sum();
            let of_month: u64 = billed.iter().filter(|((it, _), _)| *it == month).map(|(_, it)| it).sum();
            prop_assert_eq!((standing.today.used, standing.this_month.used), (of_day, of_month));
        }
    }
}
