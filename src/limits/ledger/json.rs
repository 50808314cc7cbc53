//! Ledgers, messages and replies as JSON: what is stored, and what goes between a Worker and an
//! object, which can be of different versions. Unknown members are ignored.
//!
//! Written and read by hand, because what serde derives for these types is some 8 KiB of the upload.

use serde_json::Value;

use super::{Budget, Lease, Ledger, Message, Period, Reply, Standing, Verdict};

/// The ids are our own: nothing in them has to be escaped.
impl Ledger {
    pub(super) fn to_json(&self) -> String {
        let Self { day, today, this_month, leases } = self;
        let lease = |Lease { id, made, expires, tokens }: &Lease| {
            format!(r#"{{"id":"{id}","made":{made},"expires":{expires},"tokens":{tokens}}}"#)
        };
        let leases = leases.iter().map(lease).collect::<Vec<_>>().join(",");
        format!(r#"{{"day":{day},"today":{today},"this_month":{this_month},"leases":[{leases}]}}"#)
    }

    pub(super) fn parse(json: &str) -> Option<Self> {
        let json = value(json)?;
        let lease = |json: &Value| {
            Some(Lease {
                id: text(json, "id")?,
                made: number(json, "made")?,
                expires: number(json, "expires")?,
                tokens: number(json, "tokens")?,
            })
        };
        Some(Self {
            day: number(&json, "day")?,
            today: number(&json, "today")?,
            this_month: number(&json, "this_month")?,
            leases: json.get("leases")?.as_array()?.iter().map(lease).collect::<Option<_>>()?,
        })
    }
}

impl Message {
    /// The text of a header.
    pub fn to_json(&self) -> String {
        match self {
            Self::Reserve { id, tokens, lease, budget } => {
                let limit = |name, limit: Option<u64>| {
                    limit.map(|limit| format!(r#","{name}":{limit}"#)).unwrap_or_default()
                };
                format!(
                    r#"{{"reserve":"{id}","tokens":{tokens},"lease":{lease}{}{}{}}}"#,
                    limit("max_in_flight", budget.max_in_flight),
                    limit("daily_tokens", budget.daily_tokens),
                    limit("monthly_tokens", budget.monthly_tokens),
                )
            }
            Self::Settle { id, tokens } => format!(r#"{{"settle":"{id}","tokens":{tokens}}}"#),
            Self::Usage => r#"{"usage":true}"#.to_owned(),
        }
    }

    pub(super) fn parse(json: &str) -> Option<Self> {
        let json = value(json)?;
        Some(if let Some(id) = text(&json, "reserve") {
            Self::Reserve {
                id,
                tokens: number(&json, "tokens")?,
                lease: number(&json, "lease")?,
                budget: Budget {
                    max_in_flight: number(&json, "max_in_flight"),
                    daily_tokens: number(&json, "daily_tokens"),
                    monthly_tokens: number(&json, "monthly_tokens"),
                },
            }
        } else if let Some(id) = text(&json, "settle") {
            Self::Settle { id, tokens: number(&json, "tokens")? }
        } else {
            json.get("usage")?;
            Self::Usage
        })
    }
}

impl Reply {
    pub(super) fn to_json(&self) -> String {
        let Self { verdict, standing: Standing { in_flight, today, this_month } } = self;
        let period = |Period { used, reserved, ends }: &Period| {
            format!(r#"{{"used":{used},"reserved":{reserved},"ends":{ends}}}"#)
        };
        format!(
            r#"{{"verdict":"{}","in_flight":{in_flight},"today":{},"this_month":{}}}"#,
            verdict.as_str(),
            period(today),
            period(this_month),
        )
    }

    /// The reply of a ledger. `None`: the text is none.
    pub fn parse(json: &str) -> Option<Self> {
        let json = value(json)?;
        let period = |name| {
            let json = json.get(name)?;
            Some(Period {
                used: number(json, "used")?,
                reserved: number(json, "reserved")?,
                ends: number(json, "ends")?,
            })
        };
        let verdict = text(&json, "verdict")?;
        Some(Self {
            verdict: Verdict::ALL.into_iter().find(|it| it.as_str() == verdict)?,
            standing: Standing {
                in_flight: number(&json, "in_flight")?,
                today: period("today")?,
                this_month: period("this_month")?,
            },
        })
    }
}

impl Verdict {
    pub(super) const ALL: [Self; 4] =
        [Self::Done, Self::TooManyInFlight, Self::DailyTokens, Self::MonthlyTokens];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::DailyTokens => "daily_tokens",
            Self::MonthlyTokens => "monthly_tokens",
        }
    }
}

/// From bytes, because that reader is in the upload already.
fn value(json: &str) -> Option<Value> {
    serde_json::from_slice(json.as_bytes()).ok()
}

fn number(json: &Value, name: &str) -> Option<u64> {
    json.get(name)?.as_u64()
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}
