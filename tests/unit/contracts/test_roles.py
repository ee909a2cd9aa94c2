"""What every role keeps: its specification, its defaults, its tasks and its README say the same."""

import importlib.util
import re

import house
import jinja2
import pytest
import support
from house import ROLES

pytestmark = pytest.mark.parametrize("role", ROLES)
MACHINERY = re.compile(r"\b(molecule|podman|pytest|testinfra|make demo)\b|\b(in|inside|for) (a )?(container|test)s?\b|\bCI\b", re.IGNORECASE)


def test_specification_and_defaults_name_the_same_variables(role):
    assert set(house.spec(role)) == set(house.defaults(role))


def test_specification_and_defaults_have_the_same_values(role):
    values = support.role_vars(role)
    wrong = [name for name, option in house.spec(role).items() if "default" in option and values[name] != option["default"]]
    assert not wrong


def test_a_literal_default_is_in_the_specification(role):
    literals = {name: raw for name, raw in house.defaults(role).items() if "{{" not in str(raw)}
    for name, raw in house.defaults(role).items():
        if found := house.LITERAL.fullmatch(str(raw)):
            try:
                literals[name] = jinja2.nativetypes.NativeEnvironment().compile_expression(found["literal"], undefined_to_none=False)()
            except (jinja2.UndefinedError, TypeError):
                continue  # made of another variable
            if isinstance(literals[name], jinja2.Undefined) or re.search(r"\brole_|~", found["literal"]):
                del literals[name]
    wrong = {name: value for name, value in literals.items() if house.spec(role)[name].get("default", "nothing") != value}
    assert not wrong


def test_what_has_no_default_is_required(role):
    own = {name for name, raw in house.defaults(role).items() if re.fullmatch(r"\{\{ flask_app\.\w+ \}\}", str(raw))}
    assert own == {name for name, option in house.spec(role).items() if option.get("required")}


def test_every_default_is_explained_above(role):
    lines = (support.ROLES / role / "defaults/main.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+:", line):
            above = number - 1
            while re.match(r"\w+:", lines[above]):  # several that one comment explains
                above -= 1
            assert lines[above].startswith("#"), line


def test_every_option_is_described(role):
    for entry, given in house.entry_points(role).items():
        assert given.get("short_description"), entry
        assert (support.ROLES / role / "tasks" / f"{entry}.yml").exists(), entry
        stack = list(given.get("options", {}).items())
        while stack:
            name, option = stack.pop()
            assert option.get("description") and option.get("type"), name
            assert not (option.get("no_log") and ("choices" in option or option["type"] != "str")), f"{name} would print itself"
            stack += option.get("options", {}).items()


def test_every_variable_has_a_reader(role):
    readers = house.text(role, "tasks", "templates", "vars")
    own = (support.ROLES / role / "defaults/main.yml").read_text()
    for name in (*house.spec(role), *house.load(role, "vars/main.yml")):
        assert len(re.findall(rf"\b{name}\b", readers)) > (name.startswith("__")) or len(re.findall(rf"\b{name}\b", own)) > 1, name


def test_every_template_and_file_is_used(role):
    readers = house.text(role, "tasks", "templates", "vars", "defaults")
    for path in [*house.files(role, "templates"), *house.files(role, "files", suffixes=(".py", ".sh", ".txt"))]:
        assert re.search(rf"\b{re.escape(path.name)}\b", readers), path.name


def test_no_role_reads_the_variables_of_another(role):
    found = house.text(role, "tasks", "templates", "vars", "defaults")
    for other in set(ROLES) - {role}:
        assert not re.search(rf"(?<![\w./-])(__)?{other}_[a-z]", found), other
        assert not re.search(rf"(include|import)_role[^-]*{other}\b", found), other


def test_a_template_says_who_owns_it(role):
    for path in house.files(role, "templates"):
        lines = path.read_text().splitlines()
        # JSON has no comments.
        wanted = r".*ansible_managed" if path.name.endswith(".json.j2") else r"\{\{ ansible_managed \| comment"
        assert re.match(wanted, "".join(lines[:3]) if path.name.endswith(".json.j2") else lines[lines[0].startswith("#!")]), path.name
        assert role in "\n".join(lines[:6]), path.name


def test_internals_begin_with_two_underscores(role):
    for name in house.load(role, "vars/main.yml"):
        assert name.startswith(f"__{role}_")
    for path in house.files(role, "tasks"):
        for task in house.tasks(path):
            for name in (task.get("register"), (task.get("loop_control") or {}).get("loop_var"),
                         *(task.get("ansible.builtin.set_fact") or {}), *(task.get("vars") or {})):
                assert name is None or name.startswith(f"__{role}_"), f"{path.name}: {name}"


def test_the_first_task_checks_the_inputs(role):
    assert house.tasks(support.ROLES / role / "tasks/main.yml")[0]["bulwark.flask.check_inputs"] == {"role": role}


def test_tasks_are_short_and_let_no_failure_pass(role):
    assert len((support.ROLES / role / "tasks/main.yml").read_text().splitlines()) <= 75
    for path in house.files(role, "tasks", "handlers"):
        assert len(path.read_text().splitlines()) < 150, path.name
        for task in house.tasks(path):
            assert "ignore_errors" not in task, task
            assert task.get("name", "").split(" | ")[-1][:1].isupper(), f"{path.name}: {task}"
            for module in ("lineinfile", "blockinfile", "replace", "shell"):
                assert f"ansible.builtin.{module}" not in task, task


def test_roles_of_applications_have_no_handlers(role):
    # A looped include_role would run them after the loop, with the last application's variables.
    assert f"{role}_name" not in house.spec(role) or not (support.ROLES / role / "handlers").exists()


def test_a_role_knows_nothing_of_its_tests(role):
    for path in house.files(role, "tasks", "templates", "vars", "defaults", "meta", "files", "handlers"):
        assert not (found := MACHINERY.search(path.read_text())), f"{path.name}: {found[0]}"


def test_meta_says_where_it_runs(role):
    info = house.load(role, "meta/main.yml")
    assert info["dependencies"] == []
    assert info["galaxy_info"]["min_ansible_version"] == "2.19"
    assert {"name": "Debian", "versions": ["bookworm", "trixie"]} in info["galaxy_info"]["platforms"]


def test_the_readme_has_what_an_operator_looks_for(role):
    readme = (support.ROLES / role / "README.md").read_text()
    assert readme.startswith(f"# {role}\n")
    for words in ("outcome", "files", "secret", "check mode|--check"):
        assert re.search(words, readme, re.IGNORECASE), words
    assert len(re.findall("```ya?ml", readme)) >= 2


def test_the_readme_has_the_current_table(role):
    path = support.ROOT / "tools/role_docs.py"
    module = importlib.util.module_from_spec(loaded := importlib.util.spec_from_file_location("role_docs", path))
    loaded.loader.exec_module(module)
    now, wanted = module.current(support.ROLES / role)
    assert now == wanted, "run tools/role_docs.py"
