#Requires -Version 7.4
#Requires -Modules ExchangeOnlineManagement
<#
.SYNOPSIS
Lets the app send through the mailboxes you name, and through no others.

.DESCRIPTION
By RBAC for Applications, the preferred way: makes the app known to Exchange, a security group with the mailboxes, a
management scope of that group, and gives the app the role Application SMTP.SendAsApp within that scope. The app needs
no API permission for it. With -FullAccess instead: makes the app known to Exchange and gives it FullAccess to each
mailbox; the app then needs SMTP.SendAsApp (Register-PosternApp.ps1 -SmtpSendAsApp). With -MailRead instead: gives the app
the role Application Mail.Read within that scope, so that Postern can read non-delivery reports in these mailboxes.

Running it twice changes nothing; with another mailbox it adds that one. What bears the name but is not ours is never
changed: the script stops and says so.

Connect before, as a member of Organization Management: Connect-ExchangeOnline

.PARAMETER ClientId
The app's Application (client) ID.

.PARAMETER ObjectId
The app's Object ID under Enterprise applications, as Register-PosternApp.ps1 prints it; not that of App registrations.

.PARAMETER Mailbox
The addresses of the mailboxes.

.PARAMETER Name
The name of what is made: the group and the scope "<Name> mailboxes" and the assignment "<Name> SMTP.SendAsApp", with
-MailRead "<Name> Mail.Read".

.PARAMETER FullAccess
The way by mailbox permissions instead of RBAC for Applications.

.PARAMETER MailRead
Gives the role Application Mail.Read instead of Application SMTP.SendAsApp: the app may read the mail of the mailboxes in
the group, and of no others. Do not grant Mail.Read in Entra too: that covers every mailbox of the organization.

.PARAMETER Undo
Takes the right to the mailboxes away again, by the way that was taken. With -MailRead: takes only the role Application
Mail.Read away, for all mailboxes of the group.

.PARAMETER RemoveApp
With -Undo: also removes the assignment, the scope, the group and Exchange's reference to the app. With -FullAccess name
all of the app's mailboxes, for a permission that is left over cannot be named any more.

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com -FullAccess

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com -MailRead

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com -Undo

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com -MailRead -Undo

.EXAMPLE
./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> -Mailbox noreply@contoso.com -Undo -RemoveApp

.LINK
https://learn.microsoft.com/exchange/client-developer/legacy-protocols/smtp-app-rbac-onboarding
#>
[CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Do')]
param(
    [Parameter(Mandatory)] [guid] $ClientId,
    [Parameter(Mandatory)] [guid] $ObjectId,
    [Parameter(Mandatory)] [ValidateNotNullOrEmpty()] [string[]] $Mailbox,
    [ValidateLength(1, 40)] [string] $Name = 'Postern',
    [switch] $FullAccess,
    [switch] $MailRead,
    [Parameter(ParameterSetName = 'Undo', Mandatory)] [switch] $Undo,
    [Parameter(ParameterSetName = 'Undo')] [switch] $RemoveApp
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# A module's functions do not see the preference of the script that calls them.
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }

$permission = if ($MailRead) { 'Mail.Read' } else { 'SMTP.SendAsApp' }
$role = "Application $permission"
$groupName = "$Name mailboxes"
$assignmentName = "$Name $permission"

if ($FullAccess -and $MailRead) {
    throw 'Give -FullAccess or -MailRead: reading is granted by RBAC for Applications alone.'
}
if ($ClientId -eq $ObjectId) {
    throw 'The two ids are the same. The object id is the one under Enterprise applications, the app, Overview.'
}
if (-not (Get-ConnectionInformation | Where-Object { $_.State -eq 'Connected' })) {
    throw 'Connect first: Connect-ExchangeOnline'
}

# Lists are read whole and searched here: a Get- command that does not find its -Identity may return everything.
$boxes = @(foreach ($address in $Mailbox) { Get-Mailbox -Identity $address })
$principal = Get-ServicePrincipal | Where-Object { $_.AppId -eq "$ClientId" }
$group = $scope = $assignment = $null
if (-not $FullAccess) {
    $group = Get-DistributionGroup -Filter "Name -eq '$($groupName.Replace("'", "''"))'"
    $scope = Get-ManagementScope | Where-Object { $_.Name -eq $groupName }
    $assignment = Get-ManagementRoleAssignment -Role $role | Where-Object { $_.Name -eq $assignmentName }
}

if ($principal -and $principal.ObjectId -ne "$ObjectId") {
    throw "Exchange knows the app by the object id $($principal.ObjectId), not by $ObjectId. If yours is the one " +
        "under Enterprise applications: Remove-ServicePrincipal -Identity $($principal.ObjectId), then run this again."
}
if ($assignment) {
    $assignee = Get-ServicePrincipal -Identity $assignment.RoleAssignee
    if ($assignee.AppId -ne "$ClientId" -or $assignment.CustomResourceScope -ne $groupName) {
        throw "The role assignment '$assignmentName' is for another app or another scope. Give another -Name."
    }
}
if ($scope) {
    $expected = if ($group) { "MemberOfGroup -eq '$($group.DistinguishedName.Replace("'", "''"))'" } else { '' }
    if ("$($scope.RecipientFilter)".Trim() -ne $expected) {
        throw "The management scope '$groupName' has another filter: $($scope.RecipientFilter). Give another -Name."
    }
}
$members = @(
    if ($group) { Get-DistributionGroupMember -Identity $group.DistinguishedName -ResultSize Unlimited }
)

if ($Undo -and $MailRead) {
    if ($assignment -and $PSCmdlet.ShouldProcess($assignmentName, 'Remove the role assignment')) {
        Remove-ManagementRoleAssignment -Identity $assignmentName -Confirm:$false
    }
    return
}
if ($Undo) {
    foreach ($box in $boxes) {
        if ($FullAccess) {
            if ($principal -and $PSCmdlet.ShouldProcess($box.PrimarySmtpAddress, 'Take FullAccess away')) {
                Remove-MailboxPermission -Identity $box.DistinguishedName -User $principal.Identity `
                    -AccessRights FullAccess -Confirm:$false
            }
        }
        elseif ($members | Where-Object { $_.PrimarySmtpAddress -eq $box.PrimarySmtpAddress }) {
            if ($PSCmdlet.ShouldProcess($box.PrimarySmtpAddress, "Take out of the group '$groupName'")) {
                Remove-DistributionGroupMember -Identity $group.DistinguishedName -Member $box.DistinguishedName `
                    -BypassSecurityGroupManagerCheck -Confirm:$false
            }
        }
    }
    if (-not $RemoveApp) {
        return
    }
    if ($assignment -and $PSCmdlet.ShouldProcess($assignmentName, 'Remove the role assignment')) {
        Remove-ManagementRoleAssignment -Identity $assignmentName -Confirm:$false
    }
    # A scope that is in use cannot be removed.
    $reading = Get-ManagementRoleAssignment -Role 'Application Mail.Read' | Where-Object { $_.Name -eq "$Name Mail.Read" }
    if ($reading -and $PSCmdlet.ShouldProcess("$Name Mail.Read", 'Remove the role assignment')) {
        Remove-ManagementRoleAssignment -Identity "$Name Mail.Read" -Confirm:$false
    }
    if ($scope -and $PSCmdlet.ShouldProcess($groupName, 'Remove the management scope')) {
        Remove-ManagementScope -Identity $groupName -Confirm:$false
    }
    if ($group -and $PSCmdlet.ShouldProcess($groupName, 'Remove the group')) {
        Remove-DistributionGroup -Identity $group.DistinguishedName -BypassSecurityGroupManagerCheck -Confirm:$false
    }
    if ($principal -and $PSCmdlet.ShouldProcess("$ClientId", "Remove Exchange's reference to the app")) {
        Remove-ServicePrincipal -Identity $principal.ObjectId -Confirm:$false
    }
    return
}

if (-not $principal -and $PSCmdlet.ShouldProcess("$ClientId", 'Make the app known to Exchange')) {
    $principal = New-ServicePrincipal -AppId "$ClientId" -ObjectId "$ObjectId" -DisplayName $Name
}

if ($FullAccess) {
    foreach ($box in $boxes) {
        # Granting it again changes nothing; Exchange says so in a warning.
        if ($principal -and $PSCmdlet.ShouldProcess($box.PrimarySmtpAddress, 'Grant FullAccess to the app')) {
            Add-MailboxPermission -Identity $box.DistinguishedName -User $principal.Identity -AccessRights FullAccess
        }
    }
    return
}

if (-not $group -and $PSCmdlet.ShouldProcess($groupName, 'Make a security group')) {
    $group = New-DistributionGroup -Name $groupName -Type Security -IgnoreNamingPolicy `
        -Notes "Mailboxes through which the app $ClientId may send"
}
if ($group -and -not $group.HiddenFromAddressListsEnabled) {
    if ($PSCmdlet.ShouldProcess($groupName, 'Hide the group from the address lists')) {
        Set-DistributionGroup -Identity $group.DistinguishedName -HiddenFromAddressListsEnabled $true `
            -BypassSecurityGroupManagerCheck
    }
}
foreach ($box in $boxes) {
    if ($members | Where-Object { $_.PrimarySmtpAddress -eq $box.PrimarySmtpAddress }) {
        continue
    }
    if ($PSCmdlet.ShouldProcess($box.PrimarySmtpAddress, "Put into the group '$groupName'")) {
        Add-DistributionGroupMember -Identity $group.DistinguishedName -Member $box.DistinguishedName `
            -BypassSecurityGroupManagerCheck
    }
}
if (-not $scope -and $PSCmdlet.ShouldProcess($groupName, 'Make the management scope of that group')) {
    $filter = "MemberOfGroup -eq '$($group.DistinguishedName.Replace("'", "''"))'"
    New-ManagementScope -Name $groupName -RecipientRestrictionFilter $filter | Out-Null
}
if (-not $assignment -and $PSCmdlet.ShouldProcess($assignmentName, "Give the app the role '$role' in that scope")) {
    New-ManagementRoleAssignment -Name $assignmentName -Role $role -App "$ObjectId" `
        -CustomResourceScope $groupName | Out-Null
}

# What Exchange will answer once its caches know it (30 minutes to 2 hours): InScope must be True for each.
if (-not $WhatIfPreference) {
    foreach ($box in $boxes) {
        $rights = @(
            Test-ServicePrincipalAuthorization -Identity "$ClientId" -Resource $box.PrimarySmtpAddress |
                Where-Object { $_.RoleName -eq $role -and $_.InScope -eq $true }
        )
        [pscustomobject] @{
            Mailbox = $box.PrimarySmtpAddress
            Role    = $role
            InScope = $rights.Count -gt 0
        }
    }
}
