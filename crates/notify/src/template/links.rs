use url::Url;

use crate::NotifyError;

/// Where people reach the product: what every link in a message begins with.
///
/// ```
/// # use stylobate_notify::PublicUrl;
/// let base = PublicUrl::parse("https://example.test/app")?;
/// assert_eq!(base.link("/reset", [("token", "a b")])?, "https://example.test/app/reset?token=a+b");
/// assert!(base.link("//evil.test/", []).is_err());
/// # Ok::<_, stylobate_notify::NotifyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

const SETTING: &str = "public_url";

impl PublicUrl {
    /// Reads it: `http` or `https`, with a host and perhaps a path.
    ///
    /// # Errors
    /// [`NotifyError::SettingInvalid`].
    pub fn parse(text: &str) -> Result<Self, NotifyError> {
        let invalid = |problem| NotifyError::SettingInvalid { setting: SETTING, problem };
        let url = Url::parse(text).map_err(|_| invalid("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("begins with neither http:// nor https://"));
        }
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(invalid("has more than a host, a port and a path"));
        }
        Ok(Self(url))
    }

    /// As it is written, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The link to `path` in the product, which may have a query itself, with `query` behind it.
    ///
    /// # Errors
    /// [`NotifyError::SettingInvalid`] when the path does not begin with one slash, or leads out of the product.
    pub fn link<'a>(
        &self,
        path: &str,
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<String, NotifyError> {
        let invalid = || NotifyError::SettingInvalid {
            setting: "link",
            problem: "is no path in the product: it begins with one slash and stays below it",
        };
        // Browsers take a backslash for a slash, and skip tabs and newlines.
        if !path.starts_with('/')
            || path.starts_with("//")
            || path.contains('\\')
            || path.contains(char::is_control)
        {
            return Err(invalid());
        }
        let (path, fragment) =
            path.split_once('#').map_or((path, None), |(path, fragment)| (path, Some(fragment)));
        let (path, own) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let base = self.0.path().trim_end_matches('/');
        let mut url = self.0.clone();
        url.set_path(&format!("{base}{path}"));
        // Dot segments are resolved by now, however they were spelled.
        let below =
            url.path().strip_prefix(base).filter(|rest| rest.starts_with('/') && !rest.starts_with("//"));
        if below.is_none() {
            return Err(invalid());
        }
        url.set_query(own);
        let mut query = query.into_iter().peekable();
        if query.peek().is_some() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url.set_fragment(fragment);
        Ok(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_stays_in_the_product() {
        let base = PublicUrl::parse("https://example.test/app/").unwrap();
        assert_eq!(base.as_str(), "https://example.test/app");
        let link = |path: &str| base.link(path, [("token", "a&b=c\"<")]);
        assert_eq!(
            link("/a b?x=1#top").unwrap(),
            "https://example.test/app/a%20b?x=1&token=a%26b%3Dc%22%3C#top"
        );
        for wrong in [
            "",
            "reset",
            "//evil.test",
            "/\\evil.test",
            "https://evil.test",
            "javascript:alert(1)",
            "/../admin",
            "/%2e%2e/admin",
            "/a/../../x",
            "/a\r\nb",
            "/.//evil.test",
        ] {
            assert!(link(wrong).is_err(), "{wrong}: {:?}", link(wrong));
        }
    }

    #[test]
    fn a_base_is_host_and_path_and_nothing_else() {
        for wrong in
            ["", "/x", "ftp://a.test", "https://a.test/?q", "https://a.test/#f", "https://u:p@a.test"]
        {
            assert_eq!(PublicUrl::parse(wrong).unwrap_err().code(), "notify_setting_invalid", "{wrong}");
        }
    }
}
