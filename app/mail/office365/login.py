"""Rules for refused and deferred logins. The mailbox, or its whole tenant, waits, and the messages wait with it.

Exchange also sends refusals later in the session, at MAIL or after the final dot, so most rules match there too.
"""

from functools import partial

from app.mail.office365 import sources
from app.mail.office365.fixes import (
    ALLOW_PASSWORD_LOGIN,
    ENABLE_SMTP,
    NEW_CREDENTIAL,
    NOTHING,
    OAUTH,
    OAUTH_CHECKS,
    OAUTH_STEPS,
    PASSWORD_CHECKS,
    RUN_GRANT,
    SMTP_AUTH_ON,
    WAIT,
    powershell,
)
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.rule import AUTH, REFUSALS, TRANSACTION, Rule, enhanced, mailbox_rule
from app.mail.outcome.verdict import Confidence, Explanation, LoginMethod, Scope
from app.mail.times import MINUTE

_LOGIN = AUTH | TRANSACTION
_POLICY = enhanced("5.7.139")

_refused = partial(mailbox_rule, phases=_LOGIN, codes=range(500, 600), statuses=_POLICY, hold=True)
_OAUTH_REFUSED = Explanation(
    "The login of the OAuth app is refused without a reason, most likely because it has no right to the mailbox.",
    numbered(*OAUTH_CHECKS, ENABLE_SMTP, WAIT),
)
_PASSWORD_REFUSED = Explanation(
    "The login with the password is refused without a reason, most likely because the password is wrong.",
    numbered(*PASSWORD_CHECKS, ENABLE_SMTP),
)
_BY_LOGIN = {LoginMethod.OAUTH: _OAUTH_REFUSED, LoginMethod.PASSWORD: _PASSWORD_REFUSED}
_ANY_LOGIN = numbered(
    ENABLE_SMTP,
    *(f"If the mailbox logs in with a password: {check}" for check in PASSWORD_CHECKS),
    *(f"If it logs in with OAuth: {check}" for check in OAUTH_CHECKS),
)
_BY_LOCATION = (
    "A Conditional Access policy of your organization refuses this login, by its method or from this location."
)
_USER_SIGN_INS = "At https://entra.microsoft.com open the mailbox under Users, then Sign-in logs."
_ALLOW_ADDRESS = "Allow this server's public IP address in that policy, or exclude the mailbox from it."
_deferred = partial(mailbox_rule, phases=AUTH)

_BY_POLICY: tuple[Rule, ...] = (
    _refused(
        name="smtp-auth-disabled-tenant",
        any_of=("disabled for the tenant",),
        text=("smtpclientauthentication is disabled for the tenant",),
        summary="SMTP AUTH is switched off in your organization, and the mailbox has no exception.",
        fix=SMTP_AUTH_ON,
        source=sources.SMTP_AUTH,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="smtp-auth-disabled-mailbox",
        any_of=("disabled for the mailbox",),
        text=("smtpclientauthentication is disabled for the mailbox",),
        summary="Sending by SMTP is switched off for this mailbox.",
        fix=SMTP_AUTH_ON,
        source=sources.SMTP_AUTH,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="security-defaults",
        any_of=("security defaults",),
        text=("locked by your organization's security defaults",),
        summary="Your organization's security defaults forbid a login with a password.",
        fix=f"{OAUTH} Security defaults need not be switched off for that.",
        by_login={LoginMethod.OAUTH: _OAUTH_REFUSED},
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="conditional-access",
        any_of=("did not meet the criteria",),
        text=("did not meet the criteria to be authenticated",),
        summary=_BY_LOCATION,
        fix=numbered(
            f"{_USER_SIGN_INS} The failed sign-in names the policy.",
            _ALLOW_ADDRESS,
            "If the policy blocks legacy authentication, a password cannot be used: log in with OAuth 2.0 as "
            "deploy/office365/README.md, method 1, describes.",
        ),
        by_login={
            LoginMethod.OAUTH: Explanation(
                _BY_LOCATION,
                numbered(
                    "At https://entra.microsoft.com open Enterprise applications, the app, Sign-in logs, Service "
                    "principal sign-ins. The failed sign-in names the policy.",
                    "Allow this server's public IP address in that policy, or exclude the app and the mailbox from it.",
                ),
            )
        },
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="basic-auth-disabled",
        any_of=("basic authentication is disabled",),
        text=("authentication unsuccessful, basic authentication is disabled",),
        summary="A login with a password is switched off for this mailbox, as for all personal Outlook.com accounts.",
        fix=numbered(
            *OAUTH_STEPS,
            "To keep the password until then, allow it in the mailbox's authentication policy: " + ALLOW_PASSWORD_LOGIN,
        ),
        by_login={LoginMethod.OAUTH: _OAUTH_REFUSED},
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="credentials-incorrect",
        any_of=("user credentials were incorrect",),
        text=("the user credentials were incorrect",),
        summary="The password or the user name is wrong, or sign-in is blocked for the user.",
        fix=numbered(
            "Sign in as <mailbox> with the same password at https://outlook.office.com.",
            "If that fails: reset the password at https://admin.microsoft.com, Users, Active users, the mailbox, and "
            "check there that sign-in is not blocked. Then " + NEW_CREDENTIAL,
            "If it works: multifactor authentication is on, so the password alone is refused. Log in with OAuth 2.0 "
            "instead: deploy/office365/README.md, method 1.",
        ),
        by_login={LoginMethod.OAUTH: _OAUTH_REFUSED},
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="account-locked",
        any_of=("account locked", "account is locked", "smart lockout"),
        pause=15 * MINUTE,
        hold=False,
        summary="Microsoft has locked the account temporarily, because of failed logins.",
        fix="Nothing to do: Postern waits 15 minutes and then tries one login. If the account is locked again, find "
        "the program whose logins fail: https://entra.microsoft.com, Users, the mailbox, Sign-in logs.",
        source=f"{sources.LOG} (August 2026)",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="account-issue",
        any_of=("account has an issue",),
        text=("authentication unsuccessful, account has an issue",),
        summary="Microsoft reports a problem of the account: it may be disabled, blocked or without a license.",
        fix=numbered(
            "Open https://admin.microsoft.com, Users, Active users, the mailbox: sign-in must be allowed, and under "
            "Licenses and apps an Exchange Online license must be ticked.",
            WAIT,
        ),
        source=f"{sources.LOG} (October 2024)",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="sts-unreachable",
        any_of=("sts service was unreachable",),
        text=("federated sts service was unreachable",),
        pause=300.0,
        hold=False,
        summary="Microsoft cannot reach your organization's own sign-in server (AD FS), so the login was not checked.",
        fix="Ask the administrator of AD FS to make it reachable from the internet over HTTPS with TLS 1.2. Postern "
        "tries the login again every few minutes.",
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="sts-without-https",
        any_of=("sts url does not support https",),
        text=("federated sts url does not support https",),
        summary="Your organization's own sign-in server (AD FS) does not offer HTTPS, which Microsoft requires.",
        fix=numbered("Ask the administrator of AD FS to make its address answer over HTTPS with TLS 1.2.", WAIT),
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="organization-disallows",
        any_of=("organization configuration",),
        summary="A setting of your organization does not allow this kind of login.",
        fix=numbered(
            "If it is a mailbox: log in with OAuth 2.0, as deploy/office365/README.md, method 1, describes.",
            "If it is a High Volume Email account: at https://entra.microsoft.com, Overview, Properties, security "
            "defaults must be off, and its authentication policy must allow SMTP: " + ALLOW_PASSWORD_LOGIN,
        ),
        by_login={LoginMethod.OAUTH: _OAUTH_REFUSED},
        source=sources.HIGH_VOLUME,
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="login-against-policy",
        summary="A policy of your organization refuses the mailbox's login; the reply names it.",
        fix=numbered(f"{_USER_SIGN_INS} The failed sign-in names the reason.", ENABLE_SMTP, WAIT),
        source=sources.FIX_APPLICATIONS,
        confidence=Confidence.MEDIUM,
    ),
)

_REFUSED: tuple[Rule, ...] = (
    _refused(
        name="tenant-locked-out",
        scope=Scope.TENANT,
        statuses=enhanced("5.7.3"),
        any_of=("tenant locked out",),
        text=("authentication unsuccessful. tenant locked out",),
        summary="Microsoft has locked your organization out, so none of its mailboxes may log in.",
        fix="Sign in at https://admin.microsoft.com as an administrator and check Billing, Your products: a "
        "subscription may have ended. Otherwise ask Microsoft there: Support, New service request.",
        source=sources.RESPONSES,
    ),
    _refused(
        name="submission-disabled",
        statuses=enhanced("5.7.1"),
        any_of=("submission has been disabled for this account",),
        text=("submission has been disabled for this account",),
        summary="An administrator has switched off sending for this account.",
        fix=SMTP_AUTH_ON,
        source=sources.RESPONSES,
    ),
    _refused(
        name="submit-denied",
        statuses=enhanced("5.7.1"),
        any_of=("permissions to submit to this server",),
        text=("permissions to submit to this server",),
        summary="The mailbox that has logged in may not send through this server.",
        fix=SMTP_AUTH_ON,
        source=sources.RESPONSES,
    ),
    _refused(
        name="basic-auth-retired",
        statuses=enhanced("5.7.30"),
        text=("basic authentication is not supported",),
        summary="Microsoft has switched off logins with a password (Basic authentication) for your organization.",
        fix=numbered(
            *OAUTH_STEPS,
            "If that takes time: Microsoft switches passwords off by default at the end of December 2026, and an "
            "administrator can switch them on again for the time being. In the second half of 2027 Microsoft announces "
            "the final date.",
        ),
        by_login={LoginMethod.OAUTH: _OAUTH_REFUSED},
        source=sources.DEPRECATION,
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="token-expired",
        statuses=enhanced("5.5.127", "5.7.142", "5.7.143"),
        text=("token will expire soon", "expired token"),
        pause=60.0,
        hold=False,
        summary="The OAuth token was too old, or about to expire. Postern logs in again with a new one.",
        fix="Nothing to do. If it happens often, set this machine's clock right (NTP).",
        source="sasl-xoauth2 README, #110",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="api-permissions",
        statuses=enhanced("5.7.144"),
        text=("invalid api permissions",),
        summary="The OAuth app lacks the permission to send mail.",
        fix=numbered(
            f"{RUN_GRANT}. It gives the app the role Application SMTP.SendAsApp for the mailboxes in the command.",
            "For the older way with FullAccess instead: at https://entra.microsoft.com, App registrations, the app, "
            "API permissions, add Office 365 Exchange Online, Application permissions, SMTP.SendAsApp, and grant admin "
            "consent.",
            WAIT,
        ),
        source="sasl-xoauth2 README, #104, #110",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="app-not-allowed",
        statuses=enhanced("5.7.240"),
        text=("not allowed for use with this high volume email",),
        summary="The OAuth app may not use this High Volume Email account.",
        fix=numbered(
            "Grant the app access to the account: "
            + powershell("Add-HVEAppAccess -Identity <mailbox> -AppIds <object-id>")
            + " The <object-id> is the one under Enterprise applications at https://entra.microsoft.com.",
            "Wait: Microsoft applies the change within 5 minutes.",
        ),
        source="sasl-xoauth2 README, #104, #110",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="authentication-unsuccessful",
        codes=(530, 534, 535, 538),
        statuses=enhanced("5.7.3"),
        text_fallback=("authentication unsuccessful",),
        summary="The login is refused without a reason: a wrong password, or an OAuth app without a right to the "
        "mailbox.",
        fix=_ANY_LOGIN,
        by_login=_BY_LOGIN,
        source=f"{sources.OAUTH}; MailKit #1126, #1733; sasl-xoauth2 #43; rustdesk #942",
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="authentication-unsuccessful-later",
        codes=REFUSALS,
        statuses=enhanced("5.7.0", "5.7.1", "5.7.3", "5.7.8"),
        any_of=("authentication unsuccessful",),
        summary="The server reports during the session that the login was refused, without a reason.",
        fix=_ANY_LOGIN,
        by_login=_BY_LOGIN,
        source=sources.OAUTH,
    ),
    _refused(
        name="authentication-type",
        phases=AUTH,
        codes=(504,),
        statuses=enhanced("5.7.4"),
        text=("unrecognized authentication type",),
        summary="The server does not know this login method. This also happens occasionally under load.",
        fix="Check that POSTERN_SMTP_HOST is smtp.office365.com and POSTERN_SMTP_PORT is 587, and that no proxy is "
        "between.",
        source="mikel/mail #1357; ntfy #1020; sensu-email-handler #18; nodemailer #1060",
        confidence=Confidence.HIGH,
    ),
    _refused(
        name="xoauth2-malformed",
        phases=AUTH,
        codes=(501,),
        statuses=enhanced("5.5.121", "5.5.122", "5.5.123", "5.5.124", "5.5.125", "5.5.126"),
        text=("invalid xoauth2",),
        summary="The server cannot read the OAuth login that Postern sent.",
        fix="Check that POSTERN_MAILBOX is a plain address and that POSTERN_TENANT_ID and POSTERN_TOKEN_SCOPE belong "
        "to this cloud. If they do, this is a bug in Postern: please report it with the reply.",
        source="sasl-xoauth2 README, #104, #110",
        confidence=Confidence.MEDIUM,
    ),
    _refused(
        name="challenge-after-token",
        phases=AUTH,
        codes=(334,),
        statuses=frozenset(),
        summary="The server rejected the OAuth token or the password and asked for more data without a reason.",
        fix=_ANY_LOGIN,
        by_login=_BY_LOGIN,
        source="email-oauth2-proxy #372; sasl-xoauth2 README",
    ),
)

_DEFERRED: tuple[Rule, ...] = (
    _deferred(
        name="login-proxy-failed",
        codes=(451,),
        statuses=enhanced("4.7.0", "4.3.2"),
        any_of=("temporary server error", "prx"),
        pause=60.0,
        summary="Office 365 could not pass the login on to the server that holds the mailbox.",
        fix="Nothing to do: Postern tries again automatically. If it lasts for more than an hour, check that "
        "POSTERN_MAILBOX is the mailbox's own address, and see Health, Service health at https://admin.microsoft.com.",
        source="MailKit #566; oauth2ms #5",
        confidence=Confidence.HIGH,
    ),
    _deferred(
        name="login-not-now",
        codes=(454,),
        statuses=enhanced("4.7.0"),
        text_fallback=("temporary authentication failure",),
        pause=60.0,
        summary="Office 365 could not check the login at the moment.",
        fix=NOTHING,
        source=sources.RFC_4954,
    ),
)

RULES: tuple[Rule, ...] = (*_BY_POLICY, *_REFUSED, *_DEFERRED)
