/// Gives an enum the text of each of its variants, and finds them again by it.
macro_rules! stored_as_text {
    ($type:ty { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            /// All of them.
            #[cfg(test)]
            pub(crate) const EVERY: &[Self] = &[$(Self::$variant),*];

            /// How it is written in tables and answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The one that is written so.
            #[must_use]
            pub fn of(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

pub(crate) use stored_as_text;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;

    use crate::{ChannelDisabled, DeliveryState, Medium, Reason};

    fn assert_same_on_the_wire<T>(every: &[T], as_str: fn(T) -> &'static str, of: fn(&str) -> Option<T>)
    where
        T: Copy + Debug + PartialEq + Serialize,
    {
        for one in every {
            assert_eq!(serde_json::to_value(one).unwrap(), as_str(*one));
            assert_eq!(of(as_str(*one)), Some(*one));
        }
        assert_eq!([of(""), of("Email"), of("done")], [None; 3]);
    }

    #[test]
    fn what_is_stored_is_what_is_on_the_wire() {
        assert_same_on_the_wire(Medium::EVERY, Medium::as_str, Medium::of);
        assert_same_on_the_wire(DeliveryState::EVERY, DeliveryState::as_str, DeliveryState::of);
        assert_same_on_the_wire(Reason::EVERY, Reason::as_str, Reason::of);
        assert_same_on_the_wire(ChannelDisabled::EVERY, ChannelDisabled::as_str, ChannelDisabled::of);
        assert_eq!(Medium::EVERY, Medium::ALL);
    }
}
