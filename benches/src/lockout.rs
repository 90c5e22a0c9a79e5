//! How far guessing gets, and whom it keeps out: the rules of login throttling over a simulated year and 10^6 tries per
//! run, without a server.
//!
//! An attacker tries one account every 31 seconds all year, in one of several ways; the owner signs in every morning,
//! and mistypes now and then. What counts is how many passwords the attacker learns to be wrong: whoever has a password
//! that is equally likely to be any of the r most common ones is found with a probability of guesses / r.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stylobate_auth::{
    AccountKey, AddressKey, Counter, CounterKey, DeviceId, LoginRefused, LoginTry, Standing, ThrottleConfig,
    TryBy,
};
use stylobate_core::PersonId;

use crate::{
    Result,
    report::{Goal, Report},
};

const TRIES: u32 = 1_000_000;
const YEAR_S: i64 = 365 * DAY_S;
const DAY_S: i64 = 24 * 60 * 60;
/// How likely the owner's fingers are to slip.
const TYPO: f64 = 0.1;
/// NIST SP 800-63B-4 §3.2.2.
const IN_A_ROW_MAX: f64 = 100.0;
const RANKS: [f64; 3] = [1e3, 1e4, 1e6];

/// How the attacker goes about it.
#[derive(Debug, Clone, Copy)]
enum Attack {
    /// From one address, as often as it is let.
    OneAddress,
    /// The same under all names of the account in turn: the username, the address, their spellings.
    AliasHopping,
    /// From 10,000 addresses in turn.
    ManyAddresses,
    /// From a new address each time, and never when the last answer asked to wait.
    DistributedSlow,
    /// Only in the hour after the owner has signed in, when the count may have begun anew.
    AfterTheOwner,
}

const ATTACKS: [Attack; 5] = [
    Attack::OneAddress,
    Attack::AliasHopping,
    Attack::ManyAddresses,
    Attack::DistributedSlow,
    Attack::AfterTheOwner,
];

/// How the owner signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// From a device that has signed in before.
    KnownDevice,
    /// As anybody.
    Stranger,
    /// As anybody, and an administrator unlocks the account whenever the owner was refused.
    StrangerWithHelp,
}

const OWNERS: [Owner; 3] = [Owner::KnownDevice, Owner::Stranger, Owner::StrangerWithHelp];

/// What a year brought.
#[derive(Debug, Default)]
struct Outcome {
    tries: u32,
    guesses: u32,
    in_a_row_most: u32,
    in_a_row: u32,
    mornings: u32,
    mornings_refused: u32,
    hours_locked: u32,
    unlocks: u32,
}

pub(crate) async fn run(report: &mut Report) -> Result {
    let heads =
        ["guesses", "in a row", "owner out, h", "mornings", "unlocks", "r=1e3 %", "r=1e4 %", "r=1e6 %"];
    let (mut in_a_row, mut refused, mut guesses) = (0, 0, 0);
    for owner in OWNERS {
        let mut rows = Vec::new();
        for attack in ATTACKS {
            let outcome = year(attack, owner);
            let found = |rank: &f64| (f64::from(outcome.guesses) / rank).min(1.0) * 100.0;
            let mut row = vec![
                format!("{attack:?}"),
                outcome.guesses.to_string(),
                outcome.in_a_row_most.to_string(),
                outcome.hours_locked.to_string(),
                format!("{}/{}", outcome.mornings_refused, outcome.mornings),
                outcome.unlocks.to_string(),
            ];
            row.extend(RANKS.iter().map(|rank| format!("{:.3}", found(rank))));
            rows.push(row);
            report.keep(json!({
                "attack": format!("{attack:?}"), "owner": format!("{owner:?}"), "tries": outcome.tries,
                "guesses": outcome.guesses, "in_a_row_most": outcome.in_a_row_most,
                "owner_hours_locked_out": outcome.hours_locked,
                "owner_mornings": outcome.mornings, "owner_mornings_refused": outcome.mornings_refused,
                "unlocks": outcome.unlocks,
                "found_percent_by_rank": RANKS.iter().map(|rank| (rank.to_string(), found(rank))).collect::<HashMap<_, _>>(),
            }));
            in_a_row = in_a_row.max(outcome.in_a_row_most);
            if owner == Owner::KnownDevice {
                refused = refused.max(outcome.mornings_refused + outcome.hours_locked);
                guesses = guesses.max(outcome.guesses);
            }
        }
        let first = format!("owner: {owner:?}");
        let heads: Vec<&str> = [first.as_str()].into_iter().chain(heads).collect();
        report.table(&heads, &rows);
    }
    report.note(&format!(
        "a year each, {TRIES} tries of the attacker; the owner mistypes {:.0} %",
        TYPO * 100.0
    ));
    report.verdict("failures in a row", f64::from(in_a_row), "", Goal::AtMost(IN_A_ROW_MAX));
    report.verdict("owner on a known device kept out", f64::from(refused), "times", Goal::AtMost(0.0));
    report.verdict("guesses at such an owner in a year", f64::from(guesses), "", Goal::AtMost(IN_A_ROW_MAX));
    Ok(())
}

/// One account and the counters around it.
struct Account {
    /// The person, whatever name was typed.
    key: AccountKey,
    config: ThrottleConfig,
    counters: HashMap<CounterKey, Counter>,
    now: DateTime<Utc>,
}

impl Account {
    fn standing(&self, login: &LoginTry) -> Standing {
        let mut standing = Standing::default();
        for key in login.keys() {
            standing.set(key.kind(), self.counters.get(&key).copied());
        }
        standing
    }

    fn try_password(&mut self, login: &LoginTry, is_right: bool) -> std::result::Result<TryBy, LoginRefused> {
        let standing = self.standing(login);
        let (by, after) = if is_right {
            standing.succeeded(login, self.now)?
        } else {
            standing.failed(login, &self.config, self.now)?
        };
        for key in login.keys() {
            match after.get(key.kind()) {
                Some(counter) => self.counters.insert(key, counter),
                None => self.counters.remove(&key),
            };
        }
        Ok(by)
    }

    fn unlock(&mut self) {
        self.counters.retain(|key, _| key.account().is_none());
    }
}

fn year(attack: Attack, owner: Owner) -> Outcome {
    let begin = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    let mut account = Account {
        key: AccountKey::Person(PersonId::new(begin)),
        config: ThrottleConfig::default(),
        counters: HashMap::new(),
        now: begin,
    };
    let mut outcome = Outcome::default();
    let mut dice = Dice(0x5EED);
    let owner_try = LoginTry {
        account: account.key,
        address: AddressKey::V4([192, 0, 2, 1]),
        device: (owner == Owner::KnownDevice).then(|| DeviceId::from_bytes([2; 16])),
    };
    let (mut next_morning, mut next_hour, mut wait_until) = (8 * 3_600, 0, 0);
    let mut last_sign_in = i64::MIN / 2;
    for n in 0..TRIES {
        let second = YEAR_S * i64::from(n) / i64::from(TRIES);
        account.now = begin + TimeDelta::seconds(second);
        while next_hour <= second {
            outcome.hours_locked +=
                u32::from(account.standing(&owner_try).judge(&owner_try, account.now).is_err());
            next_hour += 3_600;
        }
        if next_morning <= second {
            next_morning += DAY_S;
            if morning(&mut account, &owner_try, owner, &mut dice, &mut outcome) {
                last_sign_in = second;
            }
        }
        outcome.tries += 1;
        let address = match attack {
            Attack::OneAddress | Attack::AliasHopping => [198, 51, 100, 1],
            Attack::ManyAddresses => (0x0A00_0000 + n % 10_000).to_be_bytes(),
            Attack::DistributedSlow => (0x0A00_0000 + n).to_be_bytes(),
            Attack::AfterTheOwner => (0x0A00_0000 + n).to_be_bytes(),
        };
        let is_quiet = match attack {
            Attack::DistributedSlow => second < wait_until,
            Attack::AfterTheOwner => second - last_sign_in > 3_600,
            _ => false,
        };
        if is_quiet {
            continue;
        }
        let login = LoginTry { account: account.key, address: AddressKey::V4(address), device: None };
        match account.try_password(&login, false) {
            Ok(_) => {
                outcome.guesses += 1;
                outcome.failed();
            }
            Err(refused) => {
                let seconds = i64::try_from(refused.retry_after.as_secs()).unwrap_or(i64::MAX / 2);
                wait_until = second.saturating_add(seconds);
            }
        }
    }
    outcome
}

/// Whether the owner got in.
fn morning(
    account: &mut Account,
    login: &LoginTry,
    owner: Owner,
    dice: &mut Dice,
    outcome: &mut Outcome,
) -> bool {
    outcome.mornings += 1;
    for _ in 0..4 {
        let is_right = !dice.says(TYPO);
        match account.try_password(login, is_right) {
            Ok(_) if is_right => {
                outcome.in_a_row = 0;
                return true;
            }
            Ok(_) => outcome.failed(),
            Err(_) => {
                outcome.mornings_refused += 1;
                if owner != Owner::StrangerWithHelp {
                    return false;
                }
                account.unlock();
                outcome.unlocks += 1;
                outcome.in_a_row = 0;
            }
        }
    }
    false
}

impl Outcome {
    fn failed(&mut self) {
        self.in_a_row += 1;
        self.in_a_row_most = self.in_a_row_most.max(self.in_a_row);
    }
}

/// The same numbers in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn says(&mut self, probability: f64) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (number as f64) < probability * (1_u64 << 53) as f64
    }
}
