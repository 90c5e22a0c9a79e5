use std::{
    cell::Cell,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use ::casbin::{
    CoreApi as _, DefaultEffector, DefaultRoleManager, EffectKind, Effector, EffectorStream, Enforcer,
    function_map::OperatorFunction,
};
use parking_lot_casbin::RwLock;

use super::{
    CasbinInvalid, CasbinModel, CasbinProblem, CasbinRules, functions, functions::is_plain_path,
    rules::is_value,
};

/// How far roles are followed. casbin's own ten would cut off longer chains in silence.
const LEVELS_MAX: usize = 10_000;

/// What casbin made of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A rule allows it: this one, by its place.
    Allows(usize),
    /// A rule denies it.
    Denies(usize),
    /// No rule applies.
    Silent,
    /// casbin failed or panicked. The cause is in the log.
    Failed,
}

/// casbin on one policy. It never changes; clones share it.
#[derive(Clone)]
pub(super) struct Contained {
    enforcer: Arc<Enforcer>,
    /// Which values of a request are matched with patterns.
    paths: Vec<usize>,
    request_len: usize,
    rules: usize,
}

impl fmt::Debug for Contained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contained").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Contained {
    /// Loads `rules`; those that do not fit the model are reported and give nothing. `own` is the function of two texts that
    /// models written here may call.
    pub(super) fn new(
        model: &CasbinModel,
        rules: &CasbinRules,
        own: Option<(&str, OperatorFunction)>,
    ) -> Result<(Self, Vec<CasbinProblem>), CasbinInvalid> {
        let (fitted, problems) = rules.fitted(model)?;
        let enforcer = catch_unwind(AssertUnwindSafe(|| build(model, &fitted, own)))
            .unwrap_or_else(|_| Err(CasbinInvalid::Casbin("it panicked".into())))?;
        let contained = Self {
            enforcer: Arc::new(enforcer),
            paths: model.uses.paths.clone(),
            request_len: model.request.len(),
            rules: fitted.policies().len(),
        };
        Ok((contained, problems))
    }

    /// Asks for the rules that apply to a request. Values that are empty, too long, not printable ASCII or paths that a router
    /// might read differently match nothing, and so deny.
    pub(super) fn ask(&self, request: &[&str]) -> Verdict {
        let plain = request.len() == self.request_len
            && request.iter().all(|value| is_value(value))
            && self.paths.iter().all(|&place| request.get(place).is_some_and(|value| is_plain_path(value)));
        if plain { self.ask_trusted(request) } else { Verdict::Silent }
    }

    /// The same for values that were made here.
    pub(super) fn ask_trusted(&self, request: &[&str]) -> Verdict {
        // Without any rule casbin runs the matcher once with empty values, and may allow.
        if self.rules == 0 {
            return Verdict::Silent;
        }
        let values: Vec<String> = request.iter().map(|value| (*value).to_owned()).collect();
        SPOKE.set((None, None));
        let asked = catch_unwind(AssertUnwindSafe(|| self.enforcer.enforce(values)));
        match (asked, SPOKE.get()) {
            (Ok(Ok(true)), (Some(rule), _)) => Verdict::Allows(rule),
            (Ok(Ok(false)), (_, Some(rule))) => Verdict::Denies(rule),
            (Ok(Ok(false)), _) => Verdict::Silent,
            (Ok(Ok(true)), (None, _)) => {
                tracing::error!("casbin allowed without a rule; the request is denied");
                Verdict::Failed
            }
            (Ok(Err(error)), _) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "casbin failed; the request is denied");
                Verdict::Failed
            }
            (Err(_), _) => {
                tracing::error!("casbin panicked; the request is denied");
                Verdict::Failed
            }
        }
    }
}

fn build(
    model: &CasbinModel,
    rules: &CasbinRules,
    own: Option<(&str, OperatorFunction)>,
) -> Result<Enforcer, CasbinInvalid> {
    let refused = |error: ::casbin::Error| CasbinInvalid::Casbin(error.to_string());
    let mut enforcer = at_once(Enforcer::new_raw(model.build(), ()))
        .ok_or_else(|| CasbinInvalid::Casbin("it waits for something".into()))?
        .map_err(refused)?;
    functions::register(&mut enforcer);
    if let Some((name, function)) = own {
        enforcer.add_function(name, function);
    }
    enforcer.set_effector(Box::new(Recording));
    let inner = enforcer.get_mut_model();
    inner.add_policies("p", "p", rules.policies().to_vec());
    inner.add_policies("g", "g", rules.roles().to_vec());
    // Builds the links of the roles that were just added.
    enforcer.set_role_manager(Arc::new(RwLock::new(DefaultRoleManager::new(LEVELS_MAX)))).map_err(refused)?;
    Ok(enforcer)
}

/// The result of a future that waits for nothing: casbin's are asynchronous because some adapters are.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

thread_local! {
    /// The first rule that allowed and the first that denied, of the question that this thread is asking.
    static SPOKE: Cell<(Option<usize>, Option<usize>)> = const { Cell::new((None, None)) };
}

/// casbin's own effector, which also notes which rules spoke. (Its feature `explain` does so together with a logger.)
struct Recording;

impl Effector for Recording {
    fn new_stream(&self, expression: &str, rules: usize) -> Box<dyn EffectorStream> {
        Box::new(RecordingStream { inner: DefaultEffector.new_stream(expression, rules), rule: 0 })
    }
}

struct RecordingStream {
    inner: Box<dyn EffectorStream>,
    rule: usize,
}

impl EffectorStream for RecordingStream {
    fn next(&self) -> bool {
        self.inner.next()
    }

    fn push_effect(&mut self, effect: EffectKind) -> bool {
        let (allowed, denied) = SPOKE.get();
        match effect {
            EffectKind::Allow => SPOKE.set((allowed.or(Some(self.rule)), denied)),
            EffectKind::Deny => SPOKE.set((allowed, denied.or(Some(self.rule)))),
            EffectKind::Indeterminate => {}
        }
        self.rule += 1;
        self.inner.push_effect(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contained(csv: &str) -> Contained {
        let rules = CasbinRules::parse(csv).unwrap().0;
        Contained::new(&CasbinModel::rbac_with_domains().unwrap(), &rules, None).unwrap().0
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let casbin = contained(
            "p, admin, t, *, user.*, allow\np, alice, t, *, user.delete, deny\ng, alice, lead, t\ng, lead, admin, t",
        );
        assert_eq!(casbin.ask(&["alice", "t", "*", "user.read"]), Verdict::Allows(0));
        assert_eq!(casbin.ask(&["alice", "t", "*", "user.delete"]), Verdict::Denies(1));
        assert_eq!(casbin.ask(&["alice", "u", "*", "user.read"]), Verdict::Silent);
        assert_eq!(casbin.ask(&["bob", "t", "*", "user.read"]), Verdict::Silent);
    }

    #[test]
    fn long_chains_of_roles_are_followed() {
        let chain: String = (0..50).map(|n| format!("g, r{n}, r{}, t\n", n + 1)).collect();
        let casbin = contained(&format!("{chain}p, r50, t, *, a.b, allow"));
        assert_eq!(casbin.ask(&["r0", "t", "*", "a.b"]), Verdict::Allows(0));
    }

    #[test]
    fn nothing_is_allowed_without_rules() {
        // casbin itself allows here: its one evaluation compares the request with empty values.
        let model = CasbinModel::parse(
            "[request_definition]\nr = sub\n[policy_definition]\np = sub\n[policy_effect]\ne = some(where (p.eft == allow))\n\
             [matchers]\nm = r.sub == \"root\" || r.sub == p.sub",
        )
        .unwrap();
        let casbin = Contained::new(&model, &CasbinRules::default(), None).unwrap().0;
        assert_eq!(casbin.ask(&["root"]), Verdict::Silent);
        assert_eq!(
            at_once(Enforcer::new_raw(model.build(), ())).unwrap().unwrap().enforce(vec!["root"]).ok(),
            Some(true)
        );
    }

    #[test]
    fn strange_requests_match_nothing() {
        // A11: 0 panics on any text, and a wrong number of values is a denial.
        let casbin = contained("p, alice, t, *, *, allow");
        assert_eq!(casbin.ask(&["alice", "t", "*", "a.b"]), Verdict::Allows(0));
        let huge = "a".repeat(1 << 20);
        for act in ["", "ä", "a\nb", "a/../b", "%2e", huge.as_str()] {
            assert_eq!(casbin.ask(&["alice", "t", "*", act]), Verdict::Silent, "{act:.10}");
        }
        assert_eq!(casbin.ask(&["alice", "t", "*"]), Verdict::Silent);
        assert_eq!(casbin.ask(&[]), Verdict::Silent);
    }
}
