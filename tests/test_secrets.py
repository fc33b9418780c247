"""No address shows its secret, whatever characters it has, and nothing else of the address is lost."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoreg.secrets import expand, redact, scrub

MARK = "s3Cr7"
"""Part of every secret here and of nothing else."""
RAW = "abcXYZ019-._~!$'()*+,;=:"
"""What may stand in the user part of an address as it is."""
plain = st.text("abcxyz019-._~", min_size=1, max_size=8)
odd = st.text(max_size=6)
schemes = st.sampled_from(
    ["http", "https", "postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql+pyodbc", "s3"]
)
hosts = st.sampled_from(["h", "db.example.org", "10.0.0.1", "[::1]", "xn--bcher-kva.example"])
names = st.sampled_from(
    ["sig", "token", "key", "password", "pwd", "sslpassword", "api_key", "api-key", "apikey", "access_token", "X-Amz-Signature",
     "X-Amz-Security-Token", "AccountKey", "auth", "jwt", "client_secret", "subscription-key", "PASSWORD", "Sig", "se%63ret"]
)  # fmt: skip
others = st.sampled_from(
    ["year", "sslmode", "sort", "page", "monkey", "sv", "assignment", "author", "design"]
)
ends = st.sampled_from(["", " failed", " (see below)", "\n", '"', "' is away", '", "n": 1}', "; try again"])


@st.composite
def secrets(draw, raw):
    """A secret with odd characters before and behind its mark: as they are, or percent-encoded."""
    as_is = st.text(raw, max_size=6)
    encoded = odd.map(lambda text: quote(text, safe=""))
    return draw(as_is | encoded) + MARK + draw(as_is.map(lambda t: t + "z") | encoded.map(lambda t: t + "z"))


def everything(text):
    return text + unquote(text)


@given(
    schemes,
    st.text("abcXYZ01-._~!$*+'", max_size=6),
    secrets(RAW),
    hosts,
    st.sampled_from(["", ":5432"]),
    plain,
    ends,
)
@example("https", "o'neil", f"it's-{MARK}", "h", "", "x", "")
def test_a_password_is_hidden_and_the_rest_stays(scheme, user, password, host, port, path, end):
    user = user.rstrip("'")
    shown = redact(f"{scheme}://{user}:{password}@{host}{port}/{path}{end}")
    assert shown == f"{scheme}://{user}:***@{host}{port}/{path}{end}"


@given(schemes, secrets("abcXYZ01-._~!$*+"), st.sampled_from(["", ":", ":x-oauth-basic"]), hosts, plain, ends)
def test_a_token_in_the_place_of_a_user_is_hidden(scheme, token, behind, host, path, end):
    assert redact(f"{scheme}://{token}{behind}@{host}/{path}{end}") == f"{scheme}://***@{host}/{path}{end}"


@given(schemes, hosts, plain, st.lists(st.tuples(others, plain), max_size=3), names, secrets(RAW + "@/?"),
       st.lists(st.tuples(others, plain), max_size=3), ends)  # fmt: skip
def test_a_secret_in_a_query_is_hidden_and_the_rest_stays(
    scheme, host, path, before, name, secret, after, end
):
    def address(value):
        told = [*(f"{k}={v}" for k, v in before), f"{name}={value}", *(f"{k}={v}" for k, v in after)]
        return f"{scheme}://{host}/{path}?{'&'.join(told)}{end}"

    assert redact(address(secret)) == address("***")


@given(st.lists(st.sampled_from(["a", "=", "&", "?", "://", "@", ":", "token", "'", '"', "%", " ", "\n", "é", ";", "#", "["]), max_size=30).map("".join))  # fmt: skip
def test_hiding_twice_is_hiding_once_and_never_fails(text):
    assert redact(redact(text)) == redact(text)


@given(secrets(RAW), names, secrets(RAW))
def test_what_a_driver_says_holds_no_secret(password, name, token):
    _, known = expand(f"postgresql://ada:{password}@h/d?{name}={token}")
    for secret in (password, unquote(password), token, unquote(token)):
        assert MARK not in scrub(f"no such role, was told {secret} and <{secret}>", known)


@pytest.mark.parametrize("source", ["postgresql://u:p[x@h/d", "https://u:p]x@h/t.csv", "https://[h/t.csv"])
def test_an_address_that_no_parser_takes_is_refused_in_one_line(source, tmp_path):
    from autoreg.data.sources import read_source
    from autoreg.errors import DataError
    from autoreg.spec import DataSpec

    query = "SELECT 1" if source.startswith("postgresql") else None
    with pytest.raises(DataError) as error:
        read_source(DataSpec(source=source, target="y", query=query), tmp_path)
    assert str(error.value).startswith("data.source:")
    assert "p[x" not in str(error.value)
    assert "p]x" not in str(error.value)


@pytest.mark.parametrize("address", ["http://u:p[x@h", "postgresql://u:p[x@h/d"])
def test_a_tracking_address_that_is_none_is_refused_in_one_line(address, monkeypatch):
    from autoreg.errors import UsageError
    from autoreg.tracking import knock

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI: .*://u:") as error:
        knock()
    assert "p[x" not in str(error.value)
