#Requires -Version 7.4
#Requires -Modules ExchangeOnlineManagement
<#
.SYNOPSIS
Sets the switches of a mailbox through which Postern sends.

.DESCRIPTION
Switches SMTP AUTH on for the mailbox, whatever the organization's switch says (OAuth 2.0 needs it too); switches off
the copy in Sent Items that Exchange keeps of each message sent by SMTP, which fills the mailbox; and with -SendAs lets
the mailbox send as other addresses. Running it twice changes nothing.

Connect before, as an Exchange administrator: Connect-ExchangeOnline

.PARAMETER Mailbox
The addresses of the mailboxes.

.PARAMETER KeepSentItems
Leaves the copies in Sent Items as they are.

.PARAMETER SendAs
Other mailboxes, groups or shared mailboxes as whose addresses each of the mailboxes may send. An alias of the mailbox
needs none.

.PARAMETER Undo
Sets everything back to Microsoft's defaults: SMTP AUTH as the organization's switch says, copies in Sent Items, and
with -SendAs those rights taken away. With -KeepSentItems the copies stay as they are.

.EXAMPLE
./Set-PosternMailbox.ps1 -Mailbox noreply@contoso.com

.EXAMPLE
./Set-PosternMailbox.ps1 -Mailbox noreply@contoso.com -SendAs sales@contoso.com, billing@contoso.com

.EXAMPLE
./Set-PosternMailbox.ps1 -Mailbox noreply@contoso.com -SendAs sales@contoso.com -Undo

.LINK
https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)] [ValidateNotNullOrEmpty()] [string[]] $Mailbox,
    [switch] $KeepSentItems,
    [string[]] $SendAs = @(),
    [switch] $Undo
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# A module's functions do not see the preference of the script that calls them.
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }

if (-not (Get-ConnectionInformation | Where-Object { $_.State -eq 'Connected' })) {
    throw 'Connect first: Connect-ExchangeOnline'
}

# All are looked up before anything is changed, so that a typing error changes nothing.
$boxes = @(foreach ($address in $Mailbox) { Get-Mailbox -Identity $address })
$disabled = if ($Undo) { $null } else { $false }
$copies = [bool] $Undo
$smtpAuth = if ($Undo) { "Leave SMTP AUTH to the organization's switch" } else { 'Switch SMTP AUTH on' }
$sentItems = if ($Undo) { 'Keep copies in Sent Items' } else { 'Keep no copies in Sent Items' }

foreach ($box in $boxes) {
    $identity = $box.DistinguishedName
    $address = $box.PrimarySmtpAddress

    $current = (Get-CASMailbox -Identity $identity).SmtpClientAuthenticationDisabled
    if ($current -ne $disabled -and $PSCmdlet.ShouldProcess($address, $smtpAuth)) {
        Set-CASMailbox -Identity $identity -SmtpClientAuthenticationDisabled $disabled
    }
    if (-not $KeepSentItems -and $box.MessageCopyForSMTPClientSubmissionEnabled -ne $copies) {
        if ($PSCmdlet.ShouldProcess($address, $sentItems)) {
            Set-Mailbox -Identity $identity -MessageCopyForSMTPClientSubmissionEnabled $copies
        }
    }
    foreach ($other in $SendAs) {
        $granted = Get-RecipientPermission -Identity $other -Trustee $address -AccessRights SendAs
        if ($Undo -and $granted -and $PSCmdlet.ShouldProcess($other, "No longer let $address send as it")) {
            Remove-RecipientPermission -Identity $other -Trustee $address -AccessRights SendAs -Confirm:$false
        }
        if (-not $Undo -and -not $granted -and $PSCmdlet.ShouldProcess($other, "Let $address send as it")) {
            Add-RecipientPermission -Identity $other -Trustee $address -AccessRights SendAs -Confirm:$false
        }
    }
    if (-not $WhatIfPreference) {
        [pscustomobject] @{
            Mailbox                          = $address
            SmtpClientAuthenticationDisabled = (Get-CASMailbox -Identity $identity).SmtpClientAuthenticationDisabled
        }
    }
}
