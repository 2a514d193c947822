"""deploy/office365 says what Microsoft documents, what the scripts do, and what Postern's own advice says.

That a command exists is Microsoft's to say: the table of commands.md names the page for each, and what is used and what
is in the table must be the same, so that nothing is used that nobody looked up.
"""

import ast
import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from app.mail.office365 import RULES
from app.mail.office365.entra import ROWS
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
    """The guide's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def inline(text: str) -> list[str]:
    """What stands between backticks and is PowerShell; a script's bare name is not a call of it."""
    return [
        span for span in re.findall(r"`([^`\n]+)`", text) if re.match(r"(\./\S+ -|[A-Z][A-Za-z]+-\w+(?!\.ps1)\b)", span)
    ]


def advice() -> list[str]:
    """The PowerShell that Postern's own advice names: of the replies, of Entra's refusals, of the doctor."""
    texts = [rule.explanation.fix for rule in RULES] + [row.fix for row in ROWS]
    for path in sorted((ROOT / "app" / "doctor").glob("*.py")):
        texts += [text for node in ast.walk(ast.parse(path.read_text("utf-8"))) if (text := _text(node))]
    return [span for text in texts for span in inline(text)]


def _text(node: ast.AST) -> str:
    """A string's text, with a placeholder for each expression in it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) or "<value>" for value in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def examples(source: str) -> str:
    """The lines of a script's help that show how it is called."""
    return "\n".join(re.findall(r"^\.EXAMPLE\n(.+)$", source, re.MULTILINE))


def used() -> list[Command]:
    """Every command of the scripts, the guide and Postern's advice."""
    shown = [*fenced("powershell"), *inline(GUIDE), *map(examples, SCRIPTS.values()), *advice()]
    return [each for source in (*SCRIPTS.values(), *shown) for each in powershell.commands(source)]


def test_every_command_stands_in_the_table_and_every_row_is_used() -> None:
    """With its parameters, both ways. A new command: look it up, then add its row with Microsoft's page."""
    parameters: defaultdict[str, set[str]] = defaultdict(set)
    for command in used():
        if not command.name.startswith("./"):
            parameters[command.name] |= command.parameters
    assert dict(parameters) == TABLE


def test_the_page_beside_a_command_is_its_own() -> None:
    """Microsoft names a page after its command."""
    for name, _, page in ROWS_OF_TABLE:
        assert page.startswith(PAGE), page
        assert page.rpartition("/")[2] == name.lower(), page
    assert len(ROWS_OF_TABLE) == len(TABLE)


def test_a_script_is_called_with_parameters_it_has() -> None:
    """In the guide, and in the scripts' own examples."""
    calls = [command for command in used() if command.name.startswith("./")]
    assert {command.name for command in calls} == set(SCRIPTS)
    for call in calls:
        assert call.parameters <= powershell.declared(SCRIPTS[call.name]) | COMMON, call


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_help_strictness_and_an_undo(name: str) -> None:
    """And each of its parameters is explained."""
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
    """Each command that changes something stands inside a block that -WhatIf and -Confirm decide."""
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
    """By its own parser."""
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


def test_every_setting_named_exists() -> None:
    """In the guide and in the scripts; a …_FILE is that of a setting."""
    known = {f"POSTERN_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"POSTERN_[A-Z_]*[A-Z]", GUIDE + "".join(SCRIPTS.values())))
    assert {name for name in named if name not in known and name.removesuffix("_FILE") not in known} == set()
    ways = {"PASSWORD", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET_NEXT", "CLIENT_CERTIFICATE", "FEDERATED_TOKEN_FILE"}
    assert {f"POSTERN_{way}" for way in ways} <= {name.removesuffix("_FILE") for name in named} | named


def test_every_cloud_and_every_code_named_exists() -> None:
    """The clouds of the settings, and the AADSTS numbers that Postern knows."""
    assert re.findall(r"^\| [\w ()]+ \| `([a-z-]+)` \|", GUIDE, re.MULTILINE) == list(CLOUDS)
    assert set(re.findall(r"AADSTS\d+", GUIDE)) <= {code for row in ROWS for code in row.codes}


def test_every_link_leads_somewhere() -> None:
    """Files that are there, headings that are there; and the project's README leads here."""
    headings = re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\((?!https://)([^)]+)\)", GUIDE):
        assert target.removeprefix("#") in anchors if target.startswith("#") else (FOLDER / target).is_file(), target
    assert "](deploy/office365/README.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_postern_opens_the_certificate_of_the_guide(tmp_path: Path) -> None:
    """The openssl lines make a file that Postern can use, and leave the key nowhere else."""
    [lines] = [block for block in fenced("sh") if "openssl" in block]
    subprocess.run(["sh", "-ec", lines], cwd=tmp_path, check=True, capture_output=True)
    loaded = ClientCertificate.load((tmp_path / "postern.pem").read_bytes(), None)
    assert loaded.certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert {path.name for path in tmp_path.iterdir()} == {"postern.pem", "postern.cer"}
    assert (tmp_path / "postern.pem").stat().st_mode & 0o077 == 0
    assert b"PRIVATE" not in (tmp_path / "postern.cer").read_bytes()


@pytest.mark.parametrize("broken", ["if ($a) { 'b'", "Get-Mailbox )", 'Write-Output "a', 'Write-Output "$(Get-Item"'])
def test_what_does_not_close_is_noticed(broken: str) -> None:
    """Brackets and strings."""
    with pytest.raises(PowerShellError):
        powershell.commands(broken)


def test_commands_are_found_where_they_hide() -> None:
    """In strings, brackets and blocks, over continued lines; and none in comments and plain strings."""
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
