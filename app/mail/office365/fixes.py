"""Fixes that several rules share, as steps for an administrator without experience of PowerShell."""


def powershell(*commands: str) -> str:
    """Return instructions for running these Exchange Online commands in order."""
    steps = ", then ".join(f"`{command}`" for command in commands)
    return (
        "in PowerShell (once: `Install-Module ExchangeOnlineManagement`) run `Connect-ExchangeOnline`, "
        f"sign in as an administrator, then run {steps}."
    )


NOTHING = "Nothing to do: Postern tries again automatically."
LOGS_IN_AGAIN = (
    "Then wait: Postern tries the login again automatically. Microsoft may need an hour to apply the change."
)

EHLO_NAME = (
    "Set POSTERN_EHLO_NAME to a plain host name such as postern.example.com: letters, digits, hyphens and dots, no "
    "underscore, no dot at the end. Then restart Postern."
)

SMTP_AUTH_ON = (
    "Enable SMTP for the mailbox: at https://admin.microsoft.com choose Users, Active users, the mailbox, Mail, "
    "Manage email apps, tick Authenticated SMTP and save; or "
    + powershell("Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false")
)

OAUTH = (
    "To log in with OAuth 2.0: 1. At https://entra.microsoft.com, App registrations, register an app and give it a "
    "client secret. 2. There, API permissions, APIs my organization uses, Office 365 Exchange Online, Application "
    "permissions, add SMTP.SendAsApp and grant admin consent. 3. Make the app known to Exchange and give it the "
    "mailbox: "
    + powershell(
        "New-ServicePrincipal -AppId <client-id> -ObjectId <object-id>",
        "Add-MailboxPermission -Identity <mailbox> -User <object-id> -AccessRights FullAccess",
    )
    + " The <object-id> is the one under Enterprise applications, not the one under App registrations. 4. Set "
    "POSTERN_TENANT_ID, POSTERN_CLIENT_ID and POSTERN_CLIENT_SECRET in place of POSTERN_PASSWORD and restart Postern. "
    "Scripts for all these steps, for one mailbox or many: deploy/office365/README.md."
)

BASIC_AUTH_CHECKS = (
    "If the mailbox logs in with a password: sign in with the same password at https://outlook.office.com. If that "
    "fails, set the right password in POSTERN_PASSWORD. If it works, your organization forbids passwords for SMTP."
)

OAUTH_CHECKS = (
    "If it logs in with OAuth, check that 1. POSTERN_MAILBOX is the mailbox's own address; 2. the app has "
    "SMTP.SendAsApp with admin consent (Entra, API permissions), or in Exchange the role Application SMTP.SendAsApp; "
    "3. `Get-ServicePrincipal` shows the object id of Entra's Enterprise applications, not of App registrations; 4. "
    "the app may open the mailbox: `Add-MailboxPermission -Identity <mailbox> -User <object-id> -AccessRights "
    "FullAccess`; 5. POSTERN_TOKEN_SCOPE is https://outlook.office365.com/.default, not Microsoft Graph; 6. some hours "
    "have passed since the last change."
)

SEND_AS = (
    "Send from the mailbox's own address, or grant it the right to send as the other address: "
    + powershell("Add-RecipientPermission -Identity <from-address> -Trustee <mailbox> -AccessRights SendAs")
    + " It takes up to an hour. Then retry the message."
)

UNBLOCK = (
    "Someone may be misusing the mailbox. 1. Change its password and check the mail that it sent "
    "(https://security.microsoft.com, Explorer or Message trace). 2. Unblock it at "
    "https://security.microsoft.com/restrictedentities, or "
    + powershell("Remove-BlockedSenderAddress -SenderAddress <mailbox>")
)

SUPPORT = (
    "To fix it: 1. Find the application whose mail was too much or looked like spam, and stop it. 2. Ask Microsoft to "
    "lift the block: https://admin.microsoft.com, Support, New service request."
)
