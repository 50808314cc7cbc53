//! AWS's regions: the partition that each belongs to, the names of its endpoints, and the inference profiles that it has.
//!
//! The table of partitions is AWS's own, as it comes with every SDK (`partitions.json` of botocore 1.44).
//!
//! Out of scope: which services and models a region has, except for the prefixes of profiles.

/// A part of AWS with accounts, identities and names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The name, as in ARNs.
    pub name: &'static str,
    /// The beginning of the names of its regions.
    region_prefix: &'static str,
    /// The end of the names of its endpoints.
    suffix: &'static str,
    /// The end of the names of its endpoints that have IPv6 addresses too.
    dual_stack_suffix: &'static str,
}

const PARTITIONS: [Partition; 7] = [
    row("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    row("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    row("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    row("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    row("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    row("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    row("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
];

/// The partition of all other regions, those that are not known yet included.
const AWS: Partition = row("aws", "", "amazonaws.com", "api.aws");

const fn row(
    name: &'static str,
    region_prefix: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
) -> Partition {
    Partition { name, region_prefix, suffix, dual_stack_suffix }
}

impl Partition {
    /// Returns the partition of a region.
    pub(crate) fn of(region: &str) -> Self {
        let found = PARTITIONS.iter().find(|row| region.starts_with(row.region_prefix));
        found.copied().unwrap_or(AWS)
    }
}

/// Returns the name of the partition of a region, as in ARNs.
pub(crate) fn partition(region: &str) -> &'static str {
    Partition::of(region).name
}

/// The variants of an endpoint: `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`.
///
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variant {
    /// Whether its cryptography is validated by FIPS 140.
    pub is_fips: bool,
    /// Whether it has IPv6 addresses too.
    pub is_dual_stack: bool,
}

/// Returns the URL of a service's endpoint in a region, by the rules of AWS's SDKs.
pub(crate) fn endpoint_url(service: &str, region: &str, variant: Variant) -> String {
    let partition = Partition::of(region);
    // STS of GovCloud is validated under its usual name.
    let is_usual = service == "sts" && partition.name == "aws-us-gov" && !variant.is_dual_stack;
    let fips = if variant.is_fips && !is_usual { "-fips" } else { "" };
    let suffix = if variant.is_dual_stack { partition.dual_stack_suffix } else { partition.suffix };
    format!("https://{service}{fips}.{region}.{suffix}")
}

/// The prefixes of the inference profiles that AWS defines, and the beginnings of the names of the regions that have them.
/// It says less than AWS's lists: a region of the right geography may still lack a profile.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
const PROFILES: [(&str, &[&str]); 9] = [
    ("us", &["us-east-", "us-west-", "ca-", "mx-", "sa-"]),
    ("us-gov", &["us-gov-"]),
    ("ca", &["ca-"]),
    ("eu", &["eu-central-", "eu-north-", "eu-south-", "eu-west-", "il-", "me-", "af-"]),
    ("apac", &["ap-", "me-", "il-", "af-"]),
    ("jp", &["ap-northeast-1", "ap-northeast-3"]),
    ("au", &["ap-southeast-2", "ap-southeast-4", "ap-southeast-6"]),
    ("in", &["ap-south-"]),
    // Every region of the partition `aws`.
    (
        "global",
        &[
            "us-east-",
            "us-west-",
            "ca-",
            "mx-",
            "sa-",
            "eu-central-",
            "eu-north-",
            "eu-south-",
            "eu-west-",
            "ap-",
            "il-",
            "me-",
            "af-",
        ],
    ),
];

/// The reason why a model cannot be called in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// It is an ARN of another region or partition.
    Arn,
    /// It is an inference profile of another geography.
    Profile,
}

/// Checks that a model, by its id or ARN, can be in a region.
pub(crate) fn check_model(model_id: &str, region: &str) -> Result<(), Elsewhere> {
    check_arn(model_id, region).map_err(|()| Elsewhere::Arn)?;
    let profile = match model_id.splitn(6, ':').nth(5) {
        Some(resource) if model_id.starts_with("arn:") => {
            resource.strip_prefix("inference-profile/").unwrap_or_default()
        }
        _ => model_id,
    };
    let prefix = profile.split_once('.').map_or("", |(prefix, _)| prefix);
    match PROFILES.iter().find(|(known, _)| *known == prefix) {
        Some((_, regions)) if !regions.iter().any(|it| region.starts_with(it)) => {
            Err(Elsewhere::Profile)
        }
        _ => Ok(()),
    }
}

/// Returns an id without the prefix of an inference profile.
pub(crate) fn without_profile(id: &str) -> &str {
    match id.split_once('.') {
        Some((prefix, rest)) if PROFILES.iter().any(|(known, _)| *known == prefix) => rest,
        _ => id,
    }
}

/// Checks that an ARN, if it is one, is of a region and of its partition. A part that is empty is of any.
pub(crate) fn check_arn(arn: &str, region: &str) -> Result<(), ()> {
    let mut parts = arn.split(':');
    if parts.next() != Some("arn") {
        return Ok(());
    }
    let (partition, _service, own) = (parts.next(), parts.next(), parts.next());
    let is_right = |part: Option<&str>, expected: &str| {
        part.is_none_or(|part| part.is_empty() || part == expected)
    };
    let fits = is_right(partition, Partition::of(region).name) && is_right(own, region);
    if fits { Ok(()) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A region of each partition, and the hosts of its endpoints by botocore: usual, FIPS, dual stack, both.
    #[rustfmt::skip]
    const REGIONS: [(&str, &str, [&str; 4]); 10] = [
        ("us-east-1", "aws", ["amazonaws.com", "amazonaws.com", "api.aws", "api.aws"]),
        ("mx-central-1", "aws", ["amazonaws.com", "amazonaws.com", "api.aws", "api.aws"]),
        ("xx-new-1", "aws", ["amazonaws.com", "amazonaws.com", "api.aws", "api.aws"]),
        ("us-gov-west-1", "aws-us-gov", ["amazonaws.com", "amazonaws.com", "api.aws", "api.aws"]),
        ("cn-north-1", "aws-cn", ["amazonaws.com.cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "api.amazonwebservices.com.cn"]),
        ("eusc-de-east-1", "aws-eusc", ["amazonaws.eu", "amazonaws.eu", "api.amazonwebservices.eu", "api.amazonwebservices.eu"]),
        ("us-iso-east-1", "aws-iso", ["c2s.ic.gov", "c2s.ic.gov", "api.aws.ic.gov", "api.aws.ic.gov"]),
        ("us-isob-east-1", "aws-iso-b", ["sc2s.sgov.gov", "sc2s.sgov.gov", "api.aws.scloud", "api.aws.scloud"]),
        ("eu-isoe-west-1", "aws-iso-e", ["cloud.adc-e.uk", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "api.cloud-aws.adc-e.uk"]),
        ("us-isof-south-1", "aws-iso-f", ["csp.hci.ic.gov", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "api.aws.hci.ic.gov"]),
    ];

    const VARIANTS: [Variant; 4] = [
        Variant { is_fips: false, is_dual_stack: false },
        Variant { is_fips: true, is_dual_stack: false },
        Variant { is_fips: false, is_dual_stack: true },
        Variant { is_fips: true, is_dual_stack: true },
    ];

    #[test]
    fn every_region_has_the_endpoints_of_its_partition() {
        for (region, partition, suffixes) in REGIONS {
            assert_eq!(Partition::of(region).name, partition, "{region}");
            for (variant, suffix) in VARIANTS.into_iter().zip(suffixes) {
                let fips = if variant.is_fips { "-fips" } else { "" };
                let expected = format!("https://bedrock-runtime{fips}.{region}.{suffix}");
                assert_eq!(endpoint_url("bedrock-runtime", region, variant), expected);
            }
        }
        for partition in PARTITIONS.into_iter().chain([AWS]) {
            let known = REGIONS.iter().any(|(_, name, _)| *name == partition.name);
            assert!(known, "{} has no row", partition.name);
        }
    }

    #[test]
    fn sts_of_govcloud_has_one_name() {
        let [usual, fips, dual, both] =
            VARIANTS.map(|variant| endpoint_url("sts", "us-gov-west-1", variant));
        assert_eq!(usual, "https://sts.us-gov-west-1.amazonaws.com");
        assert_eq!(fips, usual);
        assert_eq!(dual, "https://sts.us-gov-west-1.api.aws");
        assert_eq!(both, "https://sts-fips.us-gov-west-1.api.aws");
        let fips = endpoint_url("sts", "us-east-1", VARIANTS[1]);
        assert_eq!(fips, "https://sts-fips.us-east-1.amazonaws.com");
    }

    #[test]
    fn a_model_of_another_region_is_found() {
        let arn = |partition: &str, region: &str, resource: &str| {
            format!("arn:{partition}:bedrock:{region}:123456789012:{resource}")
        };
        #[rustfmt::skip]
        let cases = [
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0".to_owned(), "ap-northeast-1", Ok(())),
            ("us.anthropic.claude-sonnet-4-6".to_owned(), "us-east-1", Ok(())),
            ("us.anthropic.claude-sonnet-4-6".to_owned(), "us-west-2", Ok(())),
            ("us.anthropic.claude-sonnet-4-6".to_owned(), "ap-northeast-1", Err(Elsewhere::Profile)),
            ("us.anthropic.claude-sonnet-4-6".to_owned(), "us-gov-west-1", Err(Elsewhere::Profile)),
            ("us-gov.anthropic.claude-sonnet-4-6".to_owned(), "us-gov-west-1", Ok(())),
            ("us-gov.anthropic.claude-sonnet-4-6".to_owned(), "us-east-1", Err(Elsewhere::Profile)),
            ("eu.anthropic.claude-sonnet-4-6".to_owned(), "eu-central-1", Ok(())),
            ("eu.anthropic.claude-sonnet-4-6".to_owned(), "us-east-1", Err(Elsewhere::Profile)),
            ("eu.anthropic.claude-sonnet-4-6".to_owned(), "eu-isoe-west-1", Err(Elsewhere::Profile)),
            ("jp.anthropic.claude-sonnet-4-6".to_owned(), "ap-northeast-3", Ok(())),
            ("jp.anthropic.claude-sonnet-4-6".to_owned(), "ap-northeast-2", Err(Elsewhere::Profile)),
            ("au.anthropic.claude-sonnet-4-6".to_owned(), "ap-southeast-2", Ok(())),
            ("au.anthropic.claude-sonnet-4-6".to_owned(), "eu-west-1", Err(Elsewhere::Profile)),
            ("global.anthropic.claude-sonnet-4-6".to_owned(), "sa-east-1", Ok(())),
            ("global.anthropic.claude-sonnet-4-6".to_owned(), "cn-north-1", Err(Elsewhere::Profile)),
            ("anthropic.claude-v2".to_owned(), "eu-west-1", Ok(())),
            ("m".to_owned(), "eu-west-1", Ok(())),
            (arn("aws", "us-east-1", "application-inference-profile/a1"), "us-east-1", Ok(())),
            (arn("aws", "us-east-1", "application-inference-profile/a1"), "us-east-2", Err(Elsewhere::Arn)),
            (arn("aws-cn", "cn-north-1", "provisioned-model/a1"), "cn-north-1", Ok(())),
            (arn("aws", "cn-north-1", "provisioned-model/a1"), "cn-north-1", Err(Elsewhere::Arn)),
            (arn("aws", "", "provisioned-model/a1"), "eu-west-1", Ok(())),
            (arn("aws", "eu-west-1", "inference-profile/eu.anthropic.m-v1:0"), "eu-west-1", Ok(())),
            (arn("aws", "eu-west-1", "inference-profile/us.anthropic.m-v1:0"), "eu-west-1", Err(Elsewhere::Profile)),
        ];
        for (model, region, expected) in cases {
            assert_eq!(check_model(&model, region), expected, "{model} {region}");
        }
        // Whatever the partition, its regions have names that no other partition's have.
        for (region, partition, _) in REGIONS {
            let arn = arn(partition, region, "provisioned-model/a1");
            for (other, ..) in REGIONS {
                assert_eq!(check_model(&arn, other).is_ok(), other == region, "{region} {other}");
            }
        }
    }
}
