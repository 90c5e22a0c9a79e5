//! What becomes of invitations before somebody answers them.

use stylobate_core::{InvitationId, PersonId, Principal, RequestContext};
use stylobate_db::Tx;
use stylobate_endpoints::{InvitationQuery, NewInvitee, Registration};
use stylobate_rbac::SUPER_ADMIN;
use stylobate_tenancy::{InvitationFilter, InvitationStatus, MembershipStatus};
use stylobate_testkit::{TestDb, both_engines};

use super::{
    account,
    house::{House, SCOPE, SETS, code, nobody, system},
    invite, invitee, token,
};

async fn only(house: &House, by: &RequestContext, filter: InvitationFilter) -> Option<InvitationId> {
    let query = InvitationQuery { filter, with_total: true, ..InvitationQuery::default() };
    let page = house.newcomers.list(by, &query).await.unwrap();
    assert_eq!(page.total, Some(page.items.len() as u64));
    assert!(page.items.len() < 2, "{page:?}");
    page.items.first().map(|one| one.id)
}

async fn set_membership(house: &House, person: PersonId, status: MembershipStatus) {
    let (tenancy, org) = (house.newcomers.tenancy.clone(), house.org);
    let set = async move |tx: &mut Tx| {
        tenancy.set_member_status(tx, &system(), org, person, status).await.map(drop)
    };
    house.db.transact(SCOPE, set).await.unwrap();
}

/// A12
async fn an_invitation_is_listed_mailed_again_and_taken_back(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let boss = house.person("boss", "admin").await;
    let stranger = house.outsider("carol").await;
    let is_open = async |link: &str| house.newcomers.show_invitation(link).await.unwrap().is_some();
    let first = invite(&house, &boss, "bob@example.org").await;
    let id = only(&house, &boss, InvitationFilter::default()).await.unwrap();
    assert_eq!(house.newcomers.find(&boss, id).await.unwrap().email, "bob@example.org");
    for filter in [
        InvitationFilter { status: Some(InvitationStatus::Pending), ..InvitationFilter::default() },
        InvitationFilter { is_open: Some(true), ..InvitationFilter::default() },
        InvitationFilter { search: Some("BOB".to_owned()), ..InvitationFilter::default() },
    ] {
        assert_eq!(only(&house, &boss, filter).await, Some(id));
    }
    // Another organisation's is missing.
    assert_eq!(only(&house, &stranger, InvitationFilter::default()).await, None);
    for id in [id, InvitationId::from_uuid(uuid::Uuid::nil())] {
        assert_eq!(code(house.newcomers.find(&stranger, id).await), "not_found");
        assert_eq!(code(house.newcomers.revoke(&stranger, id).await), "not_found");
        assert_eq!(code(house.newcomers.resend(&stranger, id).await), "not_found");
    }
    let mails = house.records.messages().len();
    assert_eq!(mails, 1);

    let again = house.newcomers.resend(&boss, id).await.unwrap();
    assert_eq!((again.id, again.invited_by), (id, boss.principal.person_id()));
    let second = token(&house, "invitation");
    assert!(!is_open(&first).await && is_open(&second).await);
    assert_eq!(house.records.messages().len(), mails + 1);
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 1);

    for _ in 0..2 {
        house.newcomers.revoke(&boss, id).await.unwrap();
    }
    assert!(!is_open(&second).await);
    assert_eq!(house.records.events("invitation.revoked"), 1);
    assert_eq!(house.count("SELECT count(*) FROM one_time_tokens").await, 0);
    assert_eq!(code(house.newcomers.resend(&boss, id).await), "invitation_closed");
    let revoked = InvitationFilter { status: Some(InvitationStatus::Revoked), ..InvitationFilter::default() };
    assert_eq!(only(&house, &boss, revoked).await, Some(id));

    // Of one that was used nothing is left to take back.
    let link = invite(&house, &boss, "bob@example.org").await;
    house.newcomers.accept_as_new(&nobody(), &link, account("bob")).await.unwrap();
    let accepted =
        InvitationFilter { status: Some(InvitationStatus::Accepted), ..InvitationFilter::default() };
    let id = only(&house, &boss, accepted).await.unwrap();
    assert_eq!(code(house.newcomers.revoke(&boss, id).await), "invitation_closed");
    assert_eq!(code(house.newcomers.resend(&boss, id).await), "invitation_closed");
}
both_engines!(an_invitation_is_listed_mailed_again_and_taken_back, SETS);

async fn an_invitation_counts_while_whoever_made_it_is_an_active_member(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    let (boss, desk) = (house.person("boss", "admin").await, house.person("desk", "operator").await);
    let desk_id = desk.principal.person_id().unwrap();
    let is_open = async |link: &str| house.newcomers.show_invitation(link).await.unwrap().is_some();
    let link = invite(&house, &desk, "bob@example.org").await;
    let id = only(&house, &boss, InvitationFilter::default()).await.unwrap();
    set_membership(&house, desk_id, MembershipStatus::Suspended).await;
    assert!(!is_open(&link).await);
    let refused = house.newcomers.accept_as_new(&nobody(), &link, account("bob")).await;
    assert_eq!(code(refused), "link_invalid");
    // Nor does it help to mail it once more.
    assert_eq!(code(house.newcomers.resend(&boss, id).await), "invitation_closed");
    set_membership(&house, desk_id, MembershipStatus::Active).await;
    assert!(is_open(&link).await);
    // It keeps the address from nobody while it does not count.
    set_membership(&house, desk_id, MembershipStatus::Suspended).await;
    let other = invite(&house, &boss, "bob@example.org").await;
    assert!(is_open(&other).await);
    // A closed organisation takes nobody.
    house.run("UPDATE orgs SET is_active = NOT is_active WHERE is_default").await;
    assert!(!is_open(&other).await);
    let refused = house.newcomers.accept_as_new(&nobody(), &other, account("bob")).await;
    assert_eq!(code(refused), "link_invalid");
    house.run("UPDATE orgs SET is_active = NOT is_active WHERE is_default").await;
    house.newcomers.accept_as_new(&nobody(), &other, account("bob")).await.unwrap();
}
both_engines!(an_invitation_counts_while_whoever_made_it_is_an_active_member, SETS);

/// Who is of the platform invites to organisations that they are no member of.
async fn the_platform_invites_to_any_organisation(db: TestDb) {
    let house = House::new(db, Registration::Off).await;
    house.rbac.seed(&system(), None).await.unwrap();
    let root = house.person("root", "member").await.principal.person_id().unwrap();
    let there = RequestContext::new(Principal::person(root)).for_platform_in(house.foreign_org);
    let promised = || NewInvitee { role: None, ..invitee("bob@example.org") };
    let is_open = async |link: &str| house.newcomers.show_invitation(link).await.unwrap().is_some();
    // Whether the route is theirs to call is asked before; that it counts is asked of the platform.
    let made = house.newcomers.invite(&there, promised()).await.unwrap();
    // Who of the platform invites is nobody's business there.
    assert_eq!(made.invited_by, None);
    let listed = house.newcomers.list(&there, &InvitationQuery::default()).await.unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&made));
    assert_eq!(house.newcomers.find(&there, made.id).await.unwrap(), made);
    assert!(!is_open(&token(&house, "invitation")).await);
    let role = Some(house.foreign_role().await);
    let more = NewInvitee { role, ..invitee("eve@example.org") };
    assert_eq!(code(house.newcomers.invite(&there, more.clone()).await), "beyond_own_permissions");

    let rbac = house.rbac.clone();
    let assign = async move |tx: &mut Tx| {
        let role = rbac.role_named(tx, None, SUPER_ADMIN).await?.unwrap().id;
        rbac.assign_in(tx, &system(), None, root, role).await.map(drop)
    };
    house.db.transact(SCOPE, assign).await.unwrap();
    assert!(is_open(&token(&house, "invitation")).await);
    house.newcomers.invite(&there, more).await.unwrap();
    let link = token(&house, "invitation");
    assert!(is_open(&link).await);
    let joined = house.newcomers.accept_as_new(&nobody(), &link, account("eve")).await.unwrap();
    assert_eq!(joined.tenant, house.foreign_org);
    let told = house.records.told("invitation.accepted");
    assert_eq!((&told["invited_by"], told["user_id"].is_string()), (&serde_json::Value::Null, true));
}
both_engines!(the_platform_invites_to_any_organisation, SETS);
