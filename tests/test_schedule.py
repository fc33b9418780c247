import ast
import importlib.util
import re
import shutil
import string
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoreg.errors import UsageError
from autoreg.schedule import KINDS, files, read_when

ODD = 'it\'s 50% of $HOME `x` "q" \\% \\ #1; & é 🎯 $(X) %n.toml'
TIMES = [
    "0 3 * * 1",
    "*/15 * * * *",
    "30 4 1,15 * *",
    "5 0-20/4 * * mon-fri",
    "0 12 29 2 *",
    "@daily",
    "7 7 * * 7",
]
SHOW = '#!/bin/sh\npwd\nfor word in "$@"; do printf "%s\\0" "$word"; done\n'
names = st.text(
    st.one_of(st.sampled_from(" %$\\'\"`{}()<>|&;#~*?![]=:-@"), st.characters(exclude_categories=("C", "Z"))),
    min_size=1,
    max_size=12,
).filter(lambda text: "/" not in text and text not in (".", "..") and text == text.strip())


def only(found):
    (text,) = found.values()
    return text


def shown(done):
    """Folder and arguments that the stand-in program saw."""
    assert done.returncode == 0, done.stderr
    folder, _, words = done.stdout.partition("\n")
    return folder, words.split("\0")[:-1]


def by_cron(line):
    """The command of a crontab's line, as do_command.c of Vixie's cron and of cronie reads it."""
    command, escaped, out = line.split(" ", 5)[5], False, []
    for char in command:
        if escaped:
            escaped = False
            if char == "%":
                out[-1] = "%"
                continue
        elif char == "\\":
            escaped = True
        elif char == "%":
            break
        out.append(char)
    return "".join(out)


def by_systemd(line):
    """Words of an ExecStart whose arguments are all double-quoted, as systemd.service(5) unquotes them."""
    program, _, rest = line.partition(" ")
    words = []
    for found in re.finditer(r'"((?:[^"\\]|\\.)*)"( |$)', rest):
        word = re.sub(r"\\(.)", r"\1", found[1])
        assert "%" not in word.replace("%%", "")
        assert "$" not in word.replace("$$", "")
        words.append(word.replace("%%", "%").replace("$$", "$"))
    assert "".join(f.group() for f in re.finditer(r'"((?:[^"\\]|\\.)*)"( |$)', rest)) == rest
    return [program, *words]


def by_kubernetes(text, variables):
    """Expansion of $(NAME), as in k8s.io/kubernetes/third_party/forked/golang/expansion."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda m: "$" if m[1] == "$" else variables.get(m[2], m[0]),
        text,
    )


@pytest.fixture(scope="module")
def show(tmp_path_factory):
    """A program that tells its folder and its arguments."""
    path = tmp_path_factory.mktemp("bin") / "show"
    path.write_text(SHOW, encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_runs_retune_with_a_key(kind):
    found = files("studies/churn.toml", kind, image="registry/autoreg:1", environment="/etc/autoreg.env")
    text = "\n".join(found.values())
    for word in ("retune", "studies/churn.toml", "--key", "--json"):
        assert word in text
    assert all("churn" in name for name in found)
    assert not text.endswith("\n\n")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names, folder=names, option=names)
def test_cron_and_systemd_hand_odd_names_through_a_real_shell(show, name, folder, option):
    place = show.parent / "places" / folder
    place.mkdir(parents=True)
    given_ = {"program": str(show), "folder": str(place), "options": ["--data", option]}
    study = f"/data/{name}"
    wanted = ["retune", study, "--data", option, "--json", "-", "--key"]
    line = only(files(study, "cron", **given_)).splitlines()[-1]
    service = files(study, "systemd", **given_)
    text = next(text for path, text in service.items() if path.endswith(".service"))
    start = next(row.removeprefix("ExecStart=") for row in text.splitlines() if row.startswith("ExecStart="))
    try:
        for argv in (["/bin/sh", "-c", by_cron(line)], by_systemd(start)):
            seen, words = shown(subprocess.run(argv, capture_output=True, text=True, timeout=20))
            assert seen == str(place)
            assert words[:-1] == wanted
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", words[-1])
    finally:
        place.rmdir()


@settings(max_examples=100, deadline=None)
@given(name=names, option=names)
def test_yaml_and_python_hold_odd_names(name, option):
    wanted = ["autoreg", "retune", f"a/{name}", "--data", option, "--json", "-"]
    given_ = {"options": ["--data", option]}
    job = yaml.safe_load(only(files(f"a/{name}", "k8s", **given_)))
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    command = [by_kubernetes(word, {"AUTOREG_KEY": "the-job"}) for word in container["command"]]
    assert command == [*wanted, "--key", "the-job"]
    tree = ast.parse(only(files(f"/a/{name}", "airflow", **given_)))
    values = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(values["COMMAND"]) == [*wanted[:2], f"/a/{name}", *wanted[3:]]
    if "${{" in name + option:
        with pytest.raises(UsageError, match="expression"):
            files(f"a/{name}", "github", **given_)
        return
    step = yaml.safe_load(only(files(f"a/{name}", "github", **given_)))["jobs"]["retune"]["steps"][-1]
    line = next(row for row in step["run"].splitlines() if "--key" in row).split("--key")[0].split()
    said = {f'"${key}"': value for key, value in step["env"].items()}
    assert [said.get(word, word) for word in line] == wanted


def test_the_workflows_loop_tries_again_on_75_alone(tmp_path):
    step = yaml.safe_load(only(files("x.toml", "github")))["jobs"]["retune"]["steps"][-1]
    for codes, ending in ((["75", "75", "0"], 0), (["65"], 65), (["75"] * 3, 75), (["0"], 0)):
        (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
        stub = 'autoreg() { read -r code <&3; return "$code"; }; sleep() { :; }\n'
        done = subprocess.run(
            ["bash", "-e", "-c", f"exec 3< codes\n{stub}{step['run']}"],
            cwd=tmp_path,
            env={"KEY": "1", "MLFLOW_TRACKING_URI": "x"},
        )
        assert done.returncode == ending
    away = subprocess.run(["bash", "-e", "-c", step["run"]], env={}, capture_output=True, text=True)
    assert away.returncode == 64
    assert "MLFLOW_TRACKING_URI" in away.stdout


def test_kubernetes_fails_at_once_on_our_codes_and_tries_again_on_75():
    spec = yaml.safe_load(only(files("x.toml", "k8s", hours=2, secret="s")))["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    rules = {rule["action"]: rule for rule in job["podFailurePolicy"]["rules"]}
    assert rules["FailJob"]["onExitCodes"]["values"] == [64, 65, 70]
    assert rules["Count"]["onExitCodes"]["values"] == [75]
    assert job["activeDeadlineSeconds"] == 7200
    (container,) = job["template"]["spec"]["containers"]
    secrets = {
        e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if e["name"] != "AUTOREG_KEY"
    }
    assert set(secrets) == {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert {ref["name"] for ref in secrets.values()} == {"s"}


@pytest.mark.parametrize(
    ("at", "cron", "calendar", "slot"),
    [
        ("0 3 * * 1", "0 3 * * 1", "Mon *-*-* 03:00:00 UTC", "day"),
        ("*/30 * * * *", "0,30 * * * *", "*-*-* *:00,30:00 UTC", "minute"),
        ("5 * * * SUN", "5 * * * 0", "Sun *-*-* *:05:00 UTC", "hour"),
        ("0 6 1 jan,jul *", "0 6 1 1,7 *", "*-01,07-01 06:00:00 UTC", "day"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6", "Sun,Fri,Sat *-*-* 00:00:00 UTC", "day"),
        ("0 20/2 * * *", "0 20,22 * * *", "*-*-* 20,22:00:00 UTC", "hour"),
        ("@monthly", "0 0 1 * *", "*-*-01 00:00:00 UTC", "day"),
    ],
)
def test_time_tables(at, cron, calendar, slot):
    when = read_when(at)
    assert (when.cron, when.calendar, when.slot) == (cron, calendar, slot)
    assert read_when(when.cron) == when


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("0 3 * *", "five fields"),
        ("60 3 * * *", "minute: expected 0 to 59, found '60'"),
        ("0 3 * * fun", "day of week: expected 0 to 7"),
        ("0 9-3 * * *", "hour: '9-3' is empty"),
        ("*/0 * * * *", "minute: '\\*/0' is empty"),
        ("0 3 31 2 *", "never comes"),
        ("0 3 1 * 1", "different schedulers"),
        ("0 3 ; * *", "day of month: cannot read ';'"),
        ("*-5 3 * * *", "a range has two numbers"),
        ("² 3 * * *", "cannot read"),
    ],
)
def test_time_tables_that_cannot_be_read(at, words):
    with pytest.raises(UsageError, match=words):
        read_when(at)


@given(st.text(string.digits + "*/-, monjaSUN@", max_size=20))
def test_any_other_text_is_read_or_refused_in_one_line(text):
    try:
        read_when(text)
    except UsageError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("crontab", {}, "did you mean 'cron'"),
        ("cron", {"options": ["--key", "x"]}, "set by the schedule"),
        ("cron", {"options": ["--json=x"]}, "set by the schedule"),
        ("cron", {"options": ["a\nb"]}, "control characters"),
        ("cron", {"environment": "x.env"}, "absolute path"),
        ("k8s", {"secret": "My Secret"}, "name of a Secret"),
        ("github", {"options": ["${{ secrets.X }}"]}, "expression"),
        ("k8s", {"hours": 0}, "--hours"),
    ],
)
def test_what_no_file_can_hold_is_refused(kind, more, words):
    with pytest.raises(UsageError, match=words):
        files("x.toml", kind, **more)


def test_models_are_named_as_they_are_and_options_never_taken_for_a_study():
    text = only(files("models:/churn@champion", "k8s"))
    assert '"models:/churn@champion"' in text
    assert "name: autoreg-churn-champion-" in text
    assert '"./-x.toml"' in only(files("-x.toml", "k8s"))
    assert len(next(iter(files("/x/" + "n" * 200 + ".toml", "k8s")))) < 70


# The files in the hands of the tools they are made for; each where it is installed.


def tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def written(folder, found):
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [folder / name for name in found]


def module(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the module {name} is not installed")
    return pytest.importorskip(name)


@pytest.mark.slow
@pytest.mark.parametrize("study", ["/data/churn.toml", f"/data/{ODD}", "models:/churn@champion"])
@pytest.mark.parametrize("environment", ["/etc/x.env", ""])
def test_systemd_takes_the_units(tmp_path, study, environment):
    verify = [tool("systemd-analyze"), "verify", "--man=no"]
    paths = []
    for at in TIMES:
        given_ = {"program": "/bin/true", "folder": "/", "environment": environment, "hours": 0.5}
        paths += written(tmp_path / str(len(paths)), files(study, "systemd", at, ["--data", ODD], **given_))
    done = subprocess.run([*verify, *paths], capture_output=True, text=True, timeout=120)
    ours = [line for line in done.stderr.splitlines() if "autoreg-" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("at", TIMES)
def test_systemd_and_cron_mean_the_same_times(at):
    croniter, analyze = module("croniter"), tool("systemd-analyze")
    when = read_when(at)
    base = datetime(2026, 2, 27, 1, 2, tzinfo=UTC)
    clock = croniter.croniter(at, base)
    wanted = [clock.get_next(datetime) for _ in range(6)]
    done = subprocess.run(
        [analyze, "calendar", "--iterations=6", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC", when.calendar],
        capture_output=True,
        text=True,
        timeout=60,
        env={"TZ": "UTC", "LC_ALL": "C"},
    )
    found = re.findall(r"(?:elapse|Iter\. #\d+|Iteration #\d+): \w+ (\S+ \S+) UTC", done.stdout)
    assert found == [f"{moment:%Y-%m-%d %H:%M:%S}" for moment in wanted]
    again = croniter.croniter(when.cron, base)
    assert [again.get_next(datetime) for _ in range(6)] == wanted


@pytest.mark.slow
@pytest.mark.parametrize("at", TIMES)
def test_crontab_takes_the_line(at):
    crontab = module("crontab")
    (job,) = list(crontab.CronTab(tab=only(files(f"/data/{ODD}", "cron", at)), user=False))
    assert job.is_valid()
    assert job.slices.render() == read_when(at).cron or at.startswith("@")


WORDS = [
    ("churn.toml", ()),
    (ODD, ()),
    ("models:/churn@champion", ("--timeout", "10m", "--n-jobs", "2")),
    ("-x y.toml", ("--data", "s3://bucket/a b;$(c).csv")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("study", "options"), WORDS)
def test_kubernetes_takes_the_cron_job(study, options):
    validate = module("kubernetes_validate")
    for at in TIMES:
        job = yaml.safe_load(only(files(study, "k8s", at, options, image="registry/autoreg:1")))
        validate.validate(job, validate.latest_version(), strict=True)
    job["spec"]["concurrencypolicy"] = "Forbid"
    with pytest.raises(Exception, match="concurrencypolicy"):
        validate.validate(job, validate.latest_version(), strict=True)


def workflows(folder):
    """A workflow of every variant, and each with one word spelled wrong."""
    good, bad = [], []
    for i, (study, options) in enumerate(WORDS):
        for j, at in enumerate(TIMES):
            found = files(study, "github", at, options, requirement="autoreg[cluster]==1.0; x > '1'")
            good += written(folder / f"{i}-{j}", found)
            wrong = {name: text.replace("runs-on:", "run-on:") for name, text in found.items()}
            bad += written(folder / f"{i}-{j}-wrong", wrong)
    return good, bad


@pytest.mark.slow
def test_actionlint_takes_the_workflow(tmp_path):
    lint = tool("actionlint")
    good, bad = workflows(tmp_path)
    done = subprocess.run([lint, *good], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "")
    done = subprocess.run([lint, *bad], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert all(str(path) in done.stdout for path in bad)


@pytest.mark.slow
def test_the_workflow_is_of_the_form_that_github_publishes(tmp_path):
    module("check_jsonschema")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    good, bad = workflows(tmp_path)
    done = subprocess.run([*check, *good], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([*check, *bad], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert all(str(path) in done.stdout for path in bad)


IN_AIRFLOW = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:
    from airflow.exceptions import AirflowException, AirflowFailException
    from airflow.models.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
assert len(bag.dags) == int(sys.argv[2]), list(bag.dags)
for dag in bag.dags.values():
    (task,) = dag.tasks
    assert task.op_kwargs["key"] in ("{{ ds }}", "{{ ts_nodash }}"), task.op_kwargs
    assert task.retries == 6 and dag.max_active_runs == 1 and not dag.catchup
    again, never = AirflowException, AirflowFailException
    for code, wanted in (("0", None), ("75", again), ("64", never), ("65", never), ("70", never)):
        try:
            task.python_callable(code)
            found = None
        except Exception as error:
            found = type(error)
        assert found is wanted, (code, found)
print("airflow is content")
"""
AIRFLOWS = {
    "3": ["apache-airflow>=3,<4"],
    "2": ["apache-airflow>=2.10,<3", "--exclude-newer=2025-06-15"],  # the packages of its day
}


@pytest.mark.full
@pytest.mark.parametrize("version", AIRFLOWS)
def test_airflow_takes_the_dag(tmp_path, version):
    uv, python = tool("uv"), tmp_path / "airflow" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, python.parents[1]], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python, *AIRFLOWS[version]]
    subprocess.run(install, check=True, timeout=1800)
    program = tmp_path / "ends with %s"
    program.write_text('#!/bin/sh\nfor word in "$@"; do last="$word"; done\nexit "$last"\n', encoding="utf-8")
    program.chmod(0o755)
    dags = tmp_path / "dags"
    for i, (study, options) in enumerate(WORDS):
        for j, at in enumerate(TIMES):
            place = study if study.startswith("models:/") else f"/{j}/{study}"
            found = files(place, "airflow", at, options, program=str(program), folder=str(tmp_path))
            text = re.sub(r'dag_id="(\w+)"', rf'dag_id="\1_{i}_{j}"', only(found))
            written(dags, {f"{i}_{j}.py": text})
    done = subprocess.run(
        [python, "-c", IN_AIRFLOW, str(dags), str(len(WORDS) * len(TIMES))],
        capture_output=True,
        text=True,
        timeout=600,
        env={
            "AIRFLOW_HOME": str(tmp_path / "home"),
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        },
    )
    assert "airflow is content" in done.stdout, done.stderr[-3000:]


def test_the_dag_is_python_and_names_no_module_of_ours():
    text = only(files("x.toml", "airflow", "*/5 * * * *"))
    compile(text, "dag.py", "exec")
    assert "{{ ts_nodash }}" in text
    modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert all(name.partition(".")[0] in ("airflow", "datetime") for name in modules)
