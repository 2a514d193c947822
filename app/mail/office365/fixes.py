"""Steps that several rows share, written for a person who has never opened PowerShell. Words only."""


def powershell(*commands: str) -> str:
    """How to run these Exchange Online commands, one after the other."""
    steps = ", then ".join(f"`{command}`" for command in commands)
    return (
        "in PowerShell (once: `Install-Module ExchangeOnlineManagement`) run `Connect-ExchangeOnline`, "
        f"sign in as an administrator, then run {steps}."
    )


NOTHING = "Nothing to do; it is offered again by itself."
LOGS_IN_AGAIN = (
    "Then wait: Postern tries the login again by itself, and Microsoft may need an hour to apply the change."
)

EHLO_NAME = (
    "Set POSTERN_EHLO_NAME to a plain host name such as postern.example.com: letters, digits, hyphens and dots, no "
    "underscore, no dot at the end. Then restart Postern."
)

SMTP_AUTH_ON = (
    "Switch SMTP on for the mailbox: at https://admin.microsoft.com choose Users, Active users, the mailbox, Mail, "
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
    "Scripts that do all of it, for one mailbox or many: deploy/office365/README.md."
)

BASIC_AUTH_CHECKS = (
    "If the mailbox logs in with a password: sign in with the same one at https://outlook.office.com. If it is refused "
    "there, set the right one in POSTERN_PASSWORD; if it works there, your organization forbids passwords for SMTP."
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
    "Send from the mailbox's own address, or let it send as the other one: "
    + powershell("Add-RecipientPermission -Identity <from-address> -Trustee <mailbox> -AccessRights SendAs")
    + " It takes up to an hour. Then retry the message."
)

UNBLOCK = (
    "Someone may be misusing the mailbox: change its password and look at what it sent "
    "(https://security.microsoft.com, Explorer or Message trace). Then unblock it at "
    "https://security.microsoft.com/restrictedentities, or "
    + powershell("Remove-BlockedSenderAddress -SenderAddress <mailbox>")
)

SUPPORT = (
    "Find out what sent so much or was taken for spam, stop it, then ask Microsoft to lift the block: "
    "https://admin.microsoft.com, Support, New service request."
)
