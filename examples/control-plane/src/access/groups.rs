//! Groups of people, and who is in them: rules for a group are rules for its members.

use std::collections::HashMap;

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use stylobate::{
    core::{Direction, GroupId, Page, PersonId, RequestContext},
    endpoints::{Permission, Route, Routes},
    middleware::{ApiError, ApiResult, Context, ListQuery, PathId, PathIds, PolicyEpoch, StrictJson},
    rbac::{
        AssigneeKind, Group, GroupMember, GroupMemberQuery, GroupOrder, GroupQuery, GroupUpdate, NewGroup,
    },
};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Access, roles::Order, written};
use crate::{
    given::given,
    order::{ByCreation, NoFilter},
    people,
};

const TAG: &str = "groups";
const READ: Permission = Permission::Key("group.read");
const UPDATE: Permission = Permission::Key("group.update");

pub(super) fn routes(access: &Access) -> Routes {
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    Routes::new()
        .add(
            about(Route::get("/groups", READ), "Lists the groups of the organisation")
                .query::<GroupFilter>()
                .returns_page::<GroupView>(),
            access,
            list,
        )
        .add(
            about(Route::post("/groups", Permission::Key("group.create")), "Makes a group")
                .body::<GroupInput>()
                .returns::<GroupView>(201),
            access,
            create,
        )
        .add(about(Route::get("/groups/{id}", READ), "Reads a group").returns::<GroupView>(200), access, get)
        .add(
            about(Route::patch("/groups/{id}", UPDATE), "Changes fields of a group")
                .body::<GroupPatch>()
                .returns::<GroupView>(200),
            access,
            patch,
        )
        .add(
            about(
                Route::delete("/groups/{id}", Permission::Key("group.delete")),
                "Removes a group, and takes what it has from its members",
            )
            .answers(204, None),
            access,
            delete,
        )
        .and(members(access))
}

fn members(access: &Access) -> Routes {
    let (all, one) = ("/groups/{id}/members", "/groups/{id}/members/{person_id}");
    let about = |route: Route, summary| route.tag(TAG).summary(summary);
    Routes::new()
        .add(
            about(Route::get(all, READ), "Lists the people of a group, in the order they came")
                .returns_page::<GroupMemberView>(),
            access,
            list_members,
        )
        .add(
            about(Route::post(all, UPDATE), "Puts a person into a group, who then has what it has")
                .body::<MemberInput>()
                .returns::<GroupMemberView>(201),
            access,
            add,
        )
        .add(
            about(Route::delete(one, UPDATE), "Takes a person out of a group").answers(204, None),
            access,
            remove,
        )
        .add(
            about(Route::get("/people/{id}/groups", READ), "Lists the groups that a person is in")
                .query::<GroupFilter>()
                .returns_page::<GroupView>(),
            access,
            list_of_person,
        )
}

#[derive(Serialize, ToSchema)]
struct GroupView {
    id: Uuid,
    name: String,
    description: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.as_uuid(),
            name: group.name,
            description: group.description,
            version: group.version,
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct GroupMemberView {
    person_id: Uuid,
    username: Option<String>,
    added_at: DateTime<Utc>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct GroupFilter {
    /// Only those with this text in their name.
    search: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupInput {
    /// Unique in the organisation, whatever the case: 1 to 80 printable ASCII characters.
    name: String,
    /// At most 500 characters.
    #[serde(default)]
    description: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupPatch {
    #[serde(default)]
    name: Option<String>,
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// The version that was read; another one in the database refuses the change.
    #[serde(default)]
    version: Option<i64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberInput {
    /// A member of the organisation.
    person_id: Uuid,
}

fn group_query(query: ListQuery<GroupFilter, Order>) -> GroupQuery {
    GroupQuery {
        search: query.filter.search,
        order_by: match query.page.order_by {
            Order::Name => GroupOrder::Name,
            Order::CreatedAt => GroupOrder::CreatedAt,
        },
        direction: query.page.order_dir.unwrap_or_default(),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    }
}

async fn list(
    State(access): State<Access>,
    context: Context,
    query: ListQuery<GroupFilter, Order>,
) -> ApiResult<Json<Page<GroupView>>> {
    let page = access.rbac.list_groups(&context, &group_query(query)).await?;
    Ok(Json(page.map(GroupView::from)))
}

async fn create(
    State(access): State<Access>,
    context: Context,
    StrictJson(input): StrictJson<GroupInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<GroupView>)> {
    let new = NewGroup { name: input.name, description: input.description };
    let (epoch, group) = written(&context, access.rbac.create_group(&context, new).await?);
    Ok((StatusCode::CREATED, epoch, Json(group.into())))
}

async fn get(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
) -> ApiResult<Json<GroupView>> {
    Ok(Json(access.group(&context, id).await?.into()))
}

async fn patch(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
    StrictJson(input): StrictJson<GroupPatch>,
) -> ApiResult<(PolicyEpoch, Json<GroupView>)> {
    let update = GroupUpdate { name: input.name, description: input.description, version: input.version };
    let (epoch, group) = written(&context, access.rbac.update_group(&context, id, update).await?);
    Ok((epoch, Json(group.into())))
}

async fn delete(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.delete_group(&context, id).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

async fn list_members(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
    query: ListQuery<NoFilter, ByCreation>,
) -> ApiResult<Json<Page<GroupMemberView>>> {
    let ByCreation::CreatedAt = query.page.order_by;
    let query = GroupMemberQuery {
        kind: Some(AssigneeKind::Person),
        direction: query.page.order_dir.unwrap_or(Direction::Asc),
        limit: query.page.limit,
        cursor: query.page.cursor,
        with_total: query.page.include_total,
    };
    let page = access.rbac.list_group_members(&context, id, &query).await?;
    let mut names = access.usernames(&page.items).await?;
    Ok(Json(page.map(|member| member_view(member, &mut names))))
}

async fn add(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<GroupId>,
    StrictJson(input): StrictJson<MemberInput>,
) -> ApiResult<(StatusCode, PolicyEpoch, Json<GroupMemberView>)> {
    let person = PersonId::from_uuid(input.person_id);
    let (epoch, member) = written(&context, access.rbac.add_to_group(&context, id, person).await?);
    let mut names = access.usernames(std::slice::from_ref(&member)).await?;
    Ok((StatusCode::CREATED, epoch, Json(member_view(member, &mut names))))
}

async fn remove(
    State(access): State<Access>,
    context: Context,
    PathIds(id, person): PathIds<GroupId, PersonId>,
) -> ApiResult<(StatusCode, PolicyEpoch)> {
    let (epoch, ()) = written(&context, access.rbac.remove_from_group(&context, id, person).await?);
    Ok((StatusCode::NO_CONTENT, epoch))
}

async fn list_of_person(
    State(access): State<Access>,
    context: Context,
    PathId(id): PathId<PersonId>,
    query: ListQuery<GroupFilter, Order>,
) -> ApiResult<Json<Page<GroupView>>> {
    access.must_be_member(&context, id).await?;
    let page = access.rbac.groups_of(&context, id, &group_query(query)).await?;
    Ok(Json(page.map(GroupView::from)))
}

fn member_view(member: GroupMember, names: &mut HashMap<Uuid, String>) -> GroupMemberView {
    let person_id = member.member.id;
    GroupMemberView { person_id, username: names.remove(&person_id), added_at: member.added_at }
}

impl Access {
    /// A group of another organisation answers exactly as a missing one.
    pub(super) async fn group(&self, context: &RequestContext, id: GroupId) -> ApiResult<Group> {
        self.rbac.find_group(context, id).await?.ok_or_else(ApiError::not_found)
    }

    /// By which names those of `members` sign in who have one.
    async fn usernames(&self, members: &[GroupMember]) -> ApiResult<HashMap<Uuid, String>> {
        let ids: Vec<PersonId> = members.iter().map(|one| PersonId::from_uuid(one.member.id)).collect();
        let mut reader = self.db.read().await?;
        Ok(people::usernames(&mut reader, &ids).await?)
    }
}
