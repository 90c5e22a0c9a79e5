use crate::{Category, Media, Medium, NotificationChannelId, Reason, Severity};

/// What is known of a message when it is decided where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concern<'a> {
    /// The kind, or the type of the event that it is about.
    pub(crate) topic: &'a str,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) is_confidential: bool,
    pub(crate) media: Media,
}

impl Concern<'_> {
    /// Nothing puts it off: no quiet hours, no muting. Somebody waits for a code or a link, whatever it is about. Budgets count all the
    /// same; of them, mail that is about security is exempt.
    pub(crate) fn is_urgent(&self) -> bool {
        self.category == Category::Security || self.severity == Severity::Critical || self.is_confidential
    }
}

/// How a person can be reached. `None` where there is no address; `true` where it is proven to be theirs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reach {
    pub(crate) email: Option<bool>,
    pub(crate) phone: Option<bool>,
}

/// A channel, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    pub(crate) id: NotificationChannelId,
    pub(crate) medium: Medium,
    pub(crate) events: Vec<String>,
    pub(crate) severity_min: Severity,
}

/// One way that a message takes, or would have taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) medium: Medium,
    /// Through which channel; `None` is the recipient's own address.
    pub(crate) channel: Option<NotificationChannelId>,
    /// Why it does not take it.
    pub(crate) dropped: Option<Reason>,
}

/// Where a message to a person goes: to their own addresses as the kind says, and to their own channels that listen.
pub(crate) fn to_person(
    concern: &Concern<'_>,
    reach: Reach,
    channels: &[Listening],
    muted: &[Category],
) -> Vec<Route> {
    let is_muted = muted.contains(&concern.category) && !concern.is_urgent();
    let silenced = is_muted.then_some(Reason::Muted);
    let own = |medium, dropped| Route { medium, channel: None, dropped };
    let mut routes = Vec::new();
    if concern.media.email {
        let dropped = match reach.email {
            None => Some(Reason::NoAddress),
            // To whom an address belongs is told by nothing but mails about the account itself, until it is proven.
            Some(false) if !matches!(concern.category, Category::Security | Category::Account) => {
                Some(Reason::Unverified)
            }
            Some(_) => silenced,
        };
        routes.push(own(Medium::Email, dropped));
    }
    if concern.media.sms {
        let dropped = match reach.phone {
            None => Some(Reason::NoAddress),
            Some(false) => Some(Reason::Unverified),
            Some(true) => silenced,
        };
        routes.push(own(Medium::Sms, dropped));
    }
    // Lists are looked at, and channels are read by more than one: nothing secret goes there.
    if !concern.is_confidential {
        if concern.media.in_app {
            routes.push(own(Medium::InApp, None));
        }
        routes.extend(listening(concern, channels).map(|route| Route { dropped: silenced, ..route }));
    }
    routes
}

/// Where a message to a tenant goes: to its channels that listen.
pub(crate) fn to_channels(concern: &Concern<'_>, channels: &[Listening]) -> Vec<Route> {
    if concern.is_confidential {
        return Vec::new();
    }
    listening(concern, channels).collect()
}

fn listening<'a>(concern: &'a Concern<'_>, channels: &'a [Listening]) -> impl Iterator<Item = Route> + 'a {
    channels
        .iter()
        .filter(|channel| concern.severity >= channel.severity_min)
        .filter(|channel| channel.events.iter().any(|pattern| matches(pattern, concern.topic)))
        .map(|channel| Route { medium: channel.medium, channel: Some(channel.id), dropped: None })
}

/// Whether `pattern` names `topic`: its name, `noun.*`, or `*`.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => {
            prefix.ends_with('.') && topic.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())
        }
        None => pattern == topic,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const BOTH: Reach = Reach { email: Some(true), phone: Some(true) };
    const ALL: Media = Media { email: true, sms: true, in_app: true };

    fn concern() -> Concern<'static> {
        Concern {
            topic: "alert.triggered",
            category: Category::Alert,
            severity: Severity::Warning,
            is_confidential: false,
            media: ALL,
        }
    }

    fn channel(medium: Medium, events: &[&str], severity_min: Severity) -> Listening {
        let id = NotificationChannelId::from_uuid(Uuid::from_u128(7));
        Listening { id, medium, events: events.iter().map(|one| (*one).to_owned()).collect(), severity_min }
    }

    fn media(routes: &[Route]) -> Vec<(Medium, Option<Reason>)> {
        routes.iter().map(|route| (route.medium, route.dropped)).collect()
    }

    #[test]
    fn a_message_takes_the_ways_of_its_kind_and_the_channels_that_listen() {
        let channels = [
            channel(Medium::Slack, &["alert.*"], Severity::Info),
            channel(Medium::Discord, &["deploy.*"], Severity::Info),
            channel(Medium::Teams, &["*"], Severity::Error),
            channel(Medium::Webhook, &["x", "alert.triggered"], Severity::Warning),
        ];
        let routes = to_person(&concern(), BOTH, &channels, &[]);
        let expected = [Medium::Email, Medium::Sms, Medium::InApp, Medium::Slack, Medium::Webhook];
        assert_eq!(media(&routes), expected.map(|medium| (medium, None)));
        let routes = to_channels(&concern(), &channels);
        assert_eq!(media(&routes), [(Medium::Slack, None), (Medium::Webhook, None)]);
    }

    #[test]
    fn what_is_missing_or_not_proven_is_told() {
        let nowhere = to_person(&concern(), Reach::default(), &[], &[]);
        let none = Some(Reason::NoAddress);
        assert_eq!(media(&nowhere), [(Medium::Email, none), (Medium::Sms, none), (Medium::InApp, None)]);
        let unproven = Reach { email: Some(false), phone: Some(false) };
        let not = Some(Reason::Unverified);
        let routes = to_person(&concern(), unproven, &[], &[]);
        assert_eq!(media(&routes), [(Medium::Email, not), (Medium::Sms, not), (Medium::InApp, None)]);
        // The account's own mail goes to an address that is yet to be proven; a code never goes to such a phone.
        let account = Concern { category: Category::Account, ..concern() };
        let routes = to_person(&account, unproven, &[], &[]);
        assert_eq!(media(&routes), [(Medium::Email, None), (Medium::Sms, not), (Medium::InApp, None)]);
    }

    #[test]
    fn muting_leaves_the_list_in_the_product() {
        let channels = [channel(Medium::Slack, &["*"], Severity::Info)];
        let muted = Some(Reason::Muted);
        let routes = to_person(&concern(), BOTH, &channels, &[Category::Alert]);
        let expected =
            [(Medium::Email, muted), (Medium::Sms, muted), (Medium::InApp, None), (Medium::Slack, muted)];
        assert_eq!(media(&routes), expected);
        // Not what somebody must look at, whatever they muted.
        for urgent in [
            Concern { severity: Severity::Critical, ..concern() },
            Concern { category: Category::Security, ..concern() },
            Concern { is_confidential: true, ..concern() },
        ] {
            let routes = to_person(&urgent, BOTH, &channels, &[Category::Alert, Category::Security]);
            assert!(routes.iter().all(|route| route.dropped.is_none()), "{urgent:?}");
        }
    }

    #[test]
    fn a_star_stands_for_all_that_begin_so() {
        for (pattern, topic, expected) in [
            ("*", "alert.triggered", true),
            ("alert.*", "alert.triggered", true),
            ("alert.triggered", "alert.triggered", true),
            ("alert.*", "alerts.triggered", false),
            ("alert.*", "alert", false),
            ("alert.*", "alert.", false),
            ("alert*", "alert.triggered", false),
            ("*.triggered", "alert.triggered", false),
            ("", "alert.triggered", false),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    fn any_concern() -> impl Strategy<Value = Concern<'static>> {
        let media = any::<(bool, bool, bool)>();
        (0..Category::ALL.len(), 0..Severity::ALL.len(), any::<bool>(), media).prop_map(
            |(category, severity, is_confidential, (email, sms, in_app))| Concern {
                topic: "topic.one",
                category: Category::ALL[category],
                severity: Severity::ALL[severity],
                is_confidential,
                media: Media { email, sms, in_app },
            },
        )
    }

    proptest! {
        #[test]
        fn secrets_go_to_own_addresses_alone(
            concern in any_concern(), email: Option<bool>, phone: Option<bool>, min in 0..Severity::ALL.len(),
        ) {
            let channels = Medium::ALL.map(|medium| channel(medium, &["*"], Severity::ALL[min]));
            let reach = Reach { email, phone };
            let routes = to_person(&concern, reach, &channels, &[]);
            let mine = to_channels(&concern, &channels);
            if concern.is_confidential {
                prop_assert!(mine.is_empty());
                prop_assert!(routes.iter().all(|route| route.channel.is_none() && route.medium != Medium::InApp));
            }
            // Nothing goes to a phone that is not proven, or where the kind does not go by itself.
            for route in routes.iter().filter(|route| route.dropped.is_none() && route.channel.is_none()) {
                match route.medium {
                    Medium::Email => prop_assert!(concern.media.email && email.is_some()),
                    Medium::Sms => prop_assert!(concern.media.sms && phone == Some(true)),
                    other => prop_assert!(other == Medium::InApp && concern.media.in_app),
                }
            }
            // And nothing below what a channel asked for.
            let heard = mine.iter().chain(routes.iter().filter(|route| route.channel.is_some())).count();
            prop_assert!(heard == 0 || concern.severity >= Severity::ALL[min]);
        }
    }
}
