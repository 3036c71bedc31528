//! The pages of the app and the weighted paths that visits take through them.
//!
//! The page ids are those of `ods_log` generation 2022; the paths are our own, with the weights of
//! the two that the exercise names (20 and 40). A path that begins with several entry pages is a
//! visitor who opens the app again before going on: every one but the last of these is a jump.

/// A page of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Home,
    Category,
    Discovery,
    TopN,
    Favor,
    Search,
    GoodList,
    GoodDetail,
    GoodSpec,
    Comment,
    CommentDone,
    CommentList,
    Cart,
    Trade,
    Payment,
    PaymentDone,
    OrdersAll,
    OrdersUnpaid,
    OrdersUndelivered,
    OrdersUnreceipted,
    OrdersWaitComment,
    Mine,
    Activity,
    Login,
    Register,
}

use Page::{
    Activity, Cart, Category, Comment, CommentDone, CommentList, Discovery, Favor, GoodDetail,
    GoodList, GoodSpec, Home, Login, Mine, OrdersAll, OrdersUndelivered, OrdersUnpaid,
    OrdersUnreceipted, OrdersWaitComment, Payment, PaymentDone, Register, Search, TopN, Trade,
};

impl Page {
    /// The `page_id` of the log.
    pub(super) fn id(self) -> &'static str {
        match self {
            Home => "home",
            Category => "category",
            Discovery => "discovery",
            TopN => "top_n",
            Favor => "favor",
            Search => "search",
            GoodList => "good_list",
            GoodDetail => "good_detail",
            GoodSpec => "good_spec",
            Comment => "comment",
            CommentDone => "comment_done",
            CommentList => "comment_list",
            Cart => "cart",
            Trade => "trade",
            Payment => "payment",
            PaymentDone => "payment_done",
            OrdersAll => "orders_all",
            OrdersUnpaid => "orders_unpaid",
            OrdersUndelivered => "orders_undelivered",
            OrdersUnreceipted => "orders_unreceipted",
            OrdersWaitComment => "orders_wait_comment",
            Mine => "mine",
            Activity => "activity",
            Login => "login",
            Register => "register",
        }
    }

    /// How many displays the page shows: least and most.
    pub(super) fn displays(self) -> (u32, u32) {
        match self {
            Home | Activity | Discovery | TopN => (6, 12),
            GoodList => (7, 14),
            GoodDetail => (4, 10),
            Category | Favor | Mine => (0, 4),
            Search | GoodSpec | Comment | CommentDone | CommentList | Cart | Trade | Payment
            | PaymentDone | OrdersAll | OrdersUnpaid | OrdersUndelivered | OrdersUnreceipted
            | OrdersWaitComment | Login | Register => (0, 0),
        }
    }

    /// What the page's visitor may do there.
    pub(super) fn actions(self) -> &'static [&'static str] {
        match self {
            GoodDetail => &["favor_add", "get_coupon", "cart_add"],
            Favor => &["favor_canel"],
            Cart => &["cart_add_num", "cart_minus_num", "cart_remove"],
            Trade => &["trade_add_address"],
            Home | Category | Discovery | TopN | Search | GoodList | GoodSpec | Comment
            | CommentDone | CommentList | Payment | PaymentDone | OrdersAll | OrdersUnpaid
            | OrdersUndelivered | OrdersUnreceipted | OrdersWaitComment | Mine | Activity
            | Login | Register => &[],
        }
    }
}

/// A way through the app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// How often it is taken, relative to the others.
    pub(super) weight: u32,
    /// How many of the first pages are entries, without a `last_page_id`; at least 1.
    pub(super) entries: usize,
    /// The pages in order; at least one.
    pub(super) pages: &'static [Page],
}

/// All paths.
pub(super) const PATHS: &[Path] = &[
    path(20, &[Home, GoodList, GoodDetail, Cart, Trade, Payment]),
    path(
        40,
        &[Home, Search, GoodList, GoodDetail, Login, GoodDetail, Cart, Trade, Payment, PaymentDone],
    ),
    path(25, &[Home]),
    path(10, &[GoodDetail]),
    path(15, &[Home, Mine, OrdersUnpaid, Trade, Payment, PaymentDone]),
    path(15, &[Home, Category, GoodList, GoodDetail, GoodSpec, CommentList, GoodDetail, Favor]),
    path(10, &[Home, Activity, GoodDetail, GoodSpec, Trade, Payment]),
    path(10, &[Home, Discovery, TopN, GoodDetail, Login, Register, GoodDetail, Cart]),
    path(8, &[Home, Mine, OrdersAll, OrdersWaitComment, Comment, CommentDone, Home]),
    path(6, &[Home, Mine, OrdersUndelivered, OrdersUnreceipted, Home, Favor, GoodDetail]),
    path(10, &[Home, Search, GoodList, Search, GoodList, GoodDetail]),
    Path { weight: 8, entries: 2, pages: &[Home, Home, GoodList, GoodDetail] },
    Path { weight: 3, entries: 3, pages: &[Home, Activity, Home, Mine] },
];

const fn path(weight: u32, pages: &'static [Page]) -> Path {
    Path { weight, entries: 1, pages }
}
