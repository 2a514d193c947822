"""The guide in deploy/office365, its scripts and the fixes that Postern prints use the same PowerShell commands.

The table in commands.md has a page of Microsoft for every command. A command without a row is an error, and so is a row
without a command.
"""

import ast
import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from app.mail.office365 import RULES
from app.mail.office365.entra import ROWS
from app.mail.office365.graph import MAIL_PERMISSION, MAIL_ROLE, TRACE_PERMISSION, TRACE_PRINCIPAL
from app.settings import Settings
from app.settings.credential import CLOUDS
from app.smtp.auth.client_certificate import ClientCertificate
from tests.architecture import powershell
from tests.architecture.powershell import Command, PowerShellError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "office365"
GUIDE = (FOLDER / "README.md").read_text("utf-8")
SCRIPTS = {f"./{path.name}": path.read_text("utf-8") for path in sorted(FOLDER.glob("*.ps1"))}
PAGE = "https://learn.microsoft.com/powershell/module/"
CHANGES = ("Add-", "New-", "Remove-", "Set-", "Update-")
COMMON = {"-WhatIf", "-Confirm"}

ROWS_OF_TABLE = re.findall(
    r"^\| `([A-Z]\w+-\w+)` \| (.*?)\| \[Microsoft Learn\]\((\S+)\) \|$",
    (FOLDER / "commands.md").read_text("utf-8"),
    re.MULTILINE,
)
TABLE = {name: set(re.findall(r"`(-\w+)`", parameters)) for name, parameters, _ in ROWS_OF_TABLE}


def fenced(language: str) -> list[str]:
    """Return the code blocks of the guide in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def inline(text: str) -> list[str]:
    """Return the PowerShell between backticks; the name of a script alone is not a call."""
    return [
        span for span in re.findall(r"`([^`\n]+)`", text) if re.match(r"(\./\S+ -|[A-Z][A-Za-z]+-\w+(?!\.ps1)\b)", span)
    ]


def advice() -> list[str]:
    """Return the PowerShell in the fixes of replies, of Entra's refusals and of the doctor."""
    explanations = [it for rule in RULES for it in (rule.explanation, *rule.by_login.values())]
    texts = [it.fix for it in explanations] + [row.fix for row in ROWS]
    for path in sorted((ROOT / "app" / "doctor").rglob("*.py")):
        texts += [text for node in ast.walk(ast.parse(path.read_text("utf-8"))) if (text := _text(node))]
    return [span for text in texts for span in inline(text)]


def _text(node: ast.AST) -> str:
    """Return the text of a string node, with a placeholder for each expression."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) or "<value>" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def examples(source: str) -> str:
    """Return the examples in the help of a script."""
    return "\n".join(re.findall(r"^\.EXAMPLE\n(.+)$", source, re.MULTILINE))


def used() -> list[Command]:
    """Return the commands of the scripts, the guide and the fixes."""
    shown = [*fenced("powershell"), *inline(GUIDE), *map(examples, SCRIPTS.values()), *advice()]
    return [each for source in (*SCRIPTS.values(), *shown) for each in powershell.commands(source)]


def test_the_table_has_the_commands_in_use() -> None:
    """With the same parameters. For a new command, find its page at Microsoft and add a row."""
    parameters: defaultdict[str, set[str]] = defaultdict(set)
    for command in used():
        if not command.name.startswith("./"):
            parameters[command.name] |= command.parameters
    assert dict(parameters) == TABLE


def test_the_page_beside_a_command_is_its_own() -> None:
    """The page of a command is named after it."""
    for name, _, page in ROWS_OF_TABLE:
        assert page.startswith(PAGE), page
        assert page.rpartition("/")[2] == name.lower(), page
    assert len(ROWS_OF_TABLE) == len(TABLE)


def test_a_script_is_called_with_parameters_it_has() -> None:
    """In the guide, and in the examples of the scripts."""
    calls = [command for command in used() if command.name.startswith("./")]
    assert {command.name for command in calls} == set(SCRIPTS)
    for call in calls:
        assert call.parameters <= powershell.declared(SCRIPTS[call.name]) | COMMON, call


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_help_strictness_and_an_undo(name: str) -> None:
    """Each parameter is explained."""
    source = SCRIPTS[name]
    assert re.match(r"#Requires -Version 7\.\d\n", source)
    for word in (".SYNOPSIS\n", ".DESCRIPTION\n", ".EXAMPLE\n", ".LINK\nhttps://learn.microsoft.com/"):
        assert word in source, word
    for line in ("Set-StrictMode -Version Latest", "$ErrorActionPreference = 'Stop'"):
        assert f"\n{line}\n" in source, line
    assert "[CmdletBinding(SupportsShouldProcess" in source
    assert {f"-{each}" for each in re.findall(r"^\.PARAMETER (\w+)$", source, re.MULTILINE)} == powershell.declared(
        source
    )
    assert "-Undo" in powershell.declared(source)
    assert "-Undo" in examples(source)
    assert f"{name} " in GUIDE


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_is_changed_without_being_asked_for(name: str) -> None:
    """Each changing command is inside a block that obeys -WhatIf and -Confirm."""
    changing = [each for each in powershell.commands(SCRIPTS[name]) if each.name.startswith(CHANGES)]
    unguarded = [
        each.name
        for each in changing
        if each.name != "Set-StrictMode" and not any("$PSCmdlet.ShouldProcess(" in block for block in each.blocks)
    ]
    assert len(changing) > 1
    assert unguarded == []


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="there is no PowerShell here")
@pytest.mark.parametrize("name", SCRIPTS)
def test_powershell_can_read_it(name: str) -> None:
    """Its parser reports no error."""
    parse = (
        "$errors = $null; "
        "$null = [System.Management.Automation.Language.Parser]::ParseFile($env:SCRIPT, [ref] $null, [ref] $errors); "
        "$errors | ForEach-Object { $_.ToString() }; exit $errors.Count"
    )
    environment = {**os.environ, "SCRIPT": str(FOLDER / name)}
    done = subprocess.run(
        ["pwsh", "-NoProfile", "-Command", parse], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_script_makes_it_can_take_away() -> None:
    """The service principals stay with their app or belong to Microsoft."""
    for name in ("./Grant-PosternMailbox.ps1", "./Register-PosternApp.ps1"):
        names = Counter(each.name for each in powershell.commands(SCRIPTS[name]))
        made = [each for each in names if each.startswith(("Add-", "New-")) and each != "New-MgServicePrincipal"]
        undone = {each.partition("-")[2] for each in names if each.startswith("Remove-")}
        assert {each.partition("-")[2] for each in made} <= undone, name


def test_the_rights_to_read_have_the_least_scope() -> None:
    """Reading mailboxes is a role with the scope of Postern's group; Entra's permission would cover all mailboxes."""
    register, grant = SCRIPTS["./Register-PosternApp.ps1"], SCRIPTS["./Grant-PosternMailbox.ps1"]
    assert f"'{TRACE_PERMISSION}'" in register
    assert f"'{TRACE_PRINCIPAL}'" in register
    assert MAIL_PERMISSION not in register
    assert f"'{MAIL_PERMISSION}'" in grant
    assert f"Application {MAIL_PERMISSION}" == MAIL_ROLE
    scoped = [each for each in powershell.commands(grant) if each.name == "New-ManagementRoleAssignment"]
    assert scoped
    assert all("-CustomResourceScope" in each.parameters for each in scoped)
    for right in (TRACE_PERMISSION, TRACE_PRINCIPAL, MAIL_ROLE):
        assert right in GUIDE


def test_every_setting_named_exists() -> None:
    """In the guide and in the scripts, also as `…_FILE`."""
    known = {f"POSTERN_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"POSTERN_[A-Z_]*[A-Z]", GUIDE + "".join(SCRIPTS.values())))
    assert {name for name in named if name not in known and name.removesuffix("_FILE") not in known} == set()
    logins = {"PASSWORD", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET_NEXT", "CLIENT_CERTIFICATE", "FEDERATED_TOKEN_FILE"}
    assert {f"POSTERN_{way}" for way in logins} <= {name.removesuffix("_FILE") for name in named} | named


def test_every_cloud_and_every_code_named_exists() -> None:
    """The clouds of the settings, and the AADSTS numbers that Postern knows."""
    assert re.findall(r"^\| [\w ()]+ \| `([a-z-]+)` \|", GUIDE, re.MULTILINE) == list(CLOUDS)
    assert set(re.findall(r"AADSTS\d+", GUIDE)) <= {code for row in ROWS for code in row.codes}


def test_the_readme_links_to_the_guide() -> None:
    """Links inside the guide are verified with those of all documents (test_documentation)."""
    assert "](deploy/office365/README.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_postern_opens_the_certificate_of_the_guide(tmp_path: Path) -> None:
    """The openssl commands make a file that Postern can load, and no other file has the private key."""
    [lines] = [block for block in fenced("sh") if "openssl" in block]
    subprocess.run(["sh", "-ec", lines], cwd=tmp_path, check=True, capture_output=True)
    loaded = ClientCertificate.load((tmp_path / "postern.pem").read_bytes(), None)
    assert loaded.certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert {path.name for path in tmp_path.iterdir()} == {"postern.pem", "postern.cer"}
    assert (tmp_path / "postern.pem").stat().st_mode & 0o077 == 0
    assert b"PRIVATE" not in (tmp_path / "postern.cer").read_bytes()


@pytest.mark.parametrize("broken", ["if ($a) { 'b'", "Get-Mailbox )", 'Write-Output "a', 'Write-Output "$(Get-Item"'])
def test_unclosed_brackets_and_strings_are_errors(broken: str) -> None:
    """PowerShellError is raised."""
    with pytest.raises(PowerShellError):
        powershell.commands(broken)


def test_commands_are_found_in_nested_code() -> None:
    """In strings, brackets, blocks and continued lines, but not in comments and plain strings."""
    source = (
        "if ($x -eq (Get-Item -LiteralPath $y)) {  # Set-Item -No\n"
        "    $z = Set-Item -Path 'New-Item -No' `\n        -Value \"a $(Get-Date -Format 'o') b\" | Out-Null\n}\n"
    )
    found = powershell.commands(source)
    assert [(each.name, each.parameters) for each in found] == [
        ("Get-Item", {"-LiteralPath"}),
        ("Set-Item", {"-Path", "-Value"}),
        ("Get-Date", {"-Format"}),
        ("Out-Null", set()),
    ]
    assert found[1].blocks == ("if ($x -eq (Get-Item -LiteralPath $y))",)
