"""Fixes, single steps and commands that several rules share, for an administrator without experience of PowerShell."""

from app.mail.outcome.fix_steps import numbered


def powershell(*commands: str) -> str:
    """Return instructions for running these Exchange Online commands in order."""
    steps = ", then ".join(f"`{command}`" for command in commands)
    return (
        "in PowerShell (once: `Install-Module ExchangeOnlineManagement`) run `Connect-ExchangeOnline`, "
        f"sign in as an administrator, then run {steps}."
    )


NOTHING = "Nothing to do: Postern tries again automatically."
WAIT = "Wait: Microsoft may need an hour to apply the change."
CORRECT_ADDRESS = "Correct the address in the application and send again."
RAISE_RECIPIENT_LIMIT = powershell("Set-Mailbox -Identity <mailbox> -RecipientLimits 1000")
STORE_NO_COPIES = powershell("Set-Mailbox -Identity <mailbox> -MessageCopyForSMTPClientSubmissionEnabled $false")
ALLOW_PASSWORD_LOGIN = powershell("Set-AuthenticationPolicy -Identity <policy> -AllowBasicAuthSmtp")
TICK_LICENSE = (
    "Open https://admin.microsoft.com, Users, Active users, the mailbox, Licenses and apps, and tick an Exchange "
    "Online license."
)

EHLO_NAME = (
    "Set POSTERN_EHLO_NAME to a plain host name such as postern.example.com: letters, digits, hyphens and dots, no "
    "underscore, no dot at the end. Then restart Postern."
)

ENABLE_SMTP = (
    "Enable SMTP for the mailbox: at https://admin.microsoft.com choose Users, Active users, the mailbox, Mail, "
    "Manage email apps, tick Authenticated SMTP and save; or "
    + powershell("Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false")
)
SMTP_AUTH_ON = numbered(ENABLE_SMTP, WAIT)

GRANT = "./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox <mailbox>"
RUN_GRANT = f"In Postern's folder deploy/office365 run `{GRANT}`"

# The way with the least rights: RBAC for Applications (deploy/office365, method 1).
OAUTH_STEPS = (
    "In Postern's folder deploy/office365 run `./New-PosternCertificate.ps1 -Path postern.pem`, then "
    "`./Register-PosternApp.ps1 -CertificateFile postern.cer`. They create a certificate and an app in Microsoft "
    "Entra, and print its ids. README.md there explains each step, also without the scripts.",
    f"Run `{GRANT}`. It lets the app send through the mailboxes in the command and through no other: it gets the role "
    "Application SMTP.SendAsApp for them.",
    "Set POSTERN_TENANT_ID, POSTERN_CLIENT_ID and POSTERN_CLIENT_CERTIFICATE in place of POSTERN_PASSWORD and restart "
    "Postern. Microsoft may need 2 hours to apply the change.",
)
OAUTH = numbered(*OAUTH_STEPS)

NEW_CREDENTIAL = (
    "write the right password to its file, which Postern reads at every login, or set POSTERN_PASSWORD and restart "
    "Postern."
)
PASSWORD_CHECKS = (
    f"Sign in as <mailbox> with the same password at https://outlook.office.com. If that fails: {NEW_CREDENTIAL}",
    "If the sign-in works, your organization forbids passwords for SMTP, or multifactor authentication is on. Log in "
    "with OAuth 2.0 instead: deploy/office365/README.md, method 1.",
)

OAUTH_CHECKS = (
    f"{RUN_GRANT} again. It gives the app the missing rights to the mailbox, and stops if Exchange knows the app by "
    "another object id. The <object-id> is the one under Enterprise applications at https://entra.microsoft.com, not "
    "the one under App registrations.",
    "If the app has the API permission SMTP.SendAsApp, Exchange ignores its role of the same name and requires "
    "FullAccess: remove the permission, or run the same command with -FullAccess.",
    "Check that POSTERN_MAILBOX is the mailbox's own address and not an alias, and that POSTERN_TOKEN_SCOPE is not "
    "set.",
)

GRANT_SEND_AS = powershell("Add-RecipientPermission -Identity <from-address> -Trustee <mailbox> -AccessRights SendAs")
SEND_AS = numbered(
    f"Send from the mailbox's own address, or grant it the right to send as the other address: {GRANT_SEND_AS}",
    "After up to an hour, retry the message.",
)

UNBLOCK = numbered(
    "Look at the mail that the mailbox sent: https://security.microsoft.com, Explorer or Message trace. If it is not "
    "from your applications, someone misuses the mailbox: replace its credential and Postern's API keys.",
    "Unblock the mailbox at https://security.microsoft.com/restrictedentities, or "
    + powershell("Remove-BlockedSenderAddress -SenderAddress <mailbox>"),
)

SUPPORT = numbered(
    "Find the application whose mail was too much or looked like spam, and stop it.",
    "Ask Microsoft to lift the block: https://admin.microsoft.com, Support, New service request.",
)
