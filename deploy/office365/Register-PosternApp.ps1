#Requires -Version 7.4
#Requires -Modules Microsoft.Graph.Authentication, Microsoft.Graph.Applications
<#
.SYNOPSIS
Registers Postern as an app in Microsoft Entra ID, and adds or takes away its certificates, secrets and permission.

.DESCRIPTION
Finds the app by its name and makes it if there is none: for this organization alone, without any API permission, as
RBAC for Applications wants it. Running it twice changes nothing. It prints the two ids for Postern and the object id
for Grant-PosternMailbox.ps1. If Entra does not know something yet that was made a moment ago, run it again.

Sign in before, as a Cloud Application Administrator: Connect-MgGraph -Scopes Application.ReadWrite.All
For -SmtpSendAsApp and -MessageTrace: Connect-MgGraph -Scopes Application.ReadWrite.All, AppRoleAssignment.ReadWrite.All
For -MessageTrace sign in as a Privileged Role Administrator: only that role may consent to permissions of Graph.

.PARAMETER DisplayName
The app's name in Entra.

.PARAMETER CertificateFile
A certificate without its key (.cer) to add to the app, or with -Undo to take off. The app's others stay, so that an old
and a new one overlap.

.PARAMETER SecretFile
Makes a new client secret and writes it into this new file; it is never shown. If the file is there, nothing is made.

.PARAMETER SecretDays
How long the new secret is valid.

.PARAMETER SmtpSendAsApp
Grants the app the application permission SMTP.SendAsApp of Office 365 Exchange Online, which is its admin consent too.
For the way by FullAccess alone.

.PARAMETER MessageTrace
Lets the app read Exchange's message trace (POSTERN_TRACE): creates the service principal of Microsoft's trace service in
the organization if there is none, and grants the app the application permission ExchangeMessageTrace.Read.All of
Microsoft Graph, which is its admin consent too. With it the app reads the metadata of all mail of the organization, and
no content. -DisplayName may name an app for this alone.

.PARAMETER Undo
Takes away what the other parameters name: -CertificateFile, -SecretId, -SmtpSendAsApp, -MessageTrace, or with -RemoveApp
all of it. Microsoft's service principal stays, because other programs may need it.

.PARAMETER SecretId
With -Undo: the secret's id, as it was printed when it was made.

.PARAMETER RemoveApp
With -Undo: deletes the app. Entra keeps a deleted app for 30 days.

.EXAMPLE
./Register-PosternApp.ps1 -CertificateFile postern.cer

.EXAMPLE
./Register-PosternApp.ps1 -SecretFile secret.txt -SmtpSendAsApp

.EXAMPLE
./Register-PosternApp.ps1 -MessageTrace

.EXAMPLE
./Register-PosternApp.ps1 -DisplayName "Postern trace" -SecretFile trace-secret.txt -MessageTrace

.EXAMPLE
./Register-PosternApp.ps1 -Undo -MessageTrace

.EXAMPLE
./Register-PosternApp.ps1 -Undo -CertificateFile old.cer

.EXAMPLE
./Register-PosternApp.ps1 -Undo -RemoveApp -WhatIf

.LINK
https://learn.microsoft.com/graph/applications-how-to-add-certificate
#>
[CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Do')]
param(
    [ValidateNotNullOrEmpty()] [string] $DisplayName = 'Postern',
    [string] $CertificateFile,
    [Parameter(ParameterSetName = 'Do')] [string] $SecretFile,
    [Parameter(ParameterSetName = 'Do')] [ValidateRange(1, 730)] [int] $SecretDays = 180,
    [switch] $SmtpSendAsApp,
    [switch] $MessageTrace,
    [Parameter(ParameterSetName = 'Undo', Mandatory)] [switch] $Undo,
    [Parameter(ParameterSetName = 'Undo')] [guid] $SecretId = [guid]::Empty,
    [Parameter(ParameterSetName = 'Undo')] [switch] $RemoveApp
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# A module's functions do not see the preference of the script that calls them.
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }

# Microsoft's ids, the same in every organization. The ids of the permissions are looked up there.
$exchangeOnline = '00000002-0000-0ff1-ce00-000000000000'
$graph = '00000003-0000-0000-c000-000000000000'
$traceService = '8bd644d1-64a1-4d4b-ae52-2e0cbf64e373'

$context = Get-MgContext
if (-not $context) {
    throw 'Sign in first: Connect-MgGraph -Scopes Application.ReadWrite.All'
}
if ($Undo -and -not ($CertificateFile -or $SmtpSendAsApp -or $MessageTrace -or $RemoveApp -or $SecretId -ne [guid]::Empty)) {
    throw 'Say what to undo: -CertificateFile, -SecretId, -SmtpSendAsApp, -MessageTrace or -RemoveApp.'
}

$certificate = $null
if ($CertificateFile) {
    $content = [System.IO.File]::ReadAllBytes($PSCmdlet.GetUnresolvedProviderPathFromPSPath($CertificateFile))
    $certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new($content)
}

$app = $null
$found = @(Get-MgApplication -Filter "displayName eq '$($DisplayName.Replace("'", "''"))'")
if ($found.Count -gt 1) {
    throw "There are $($found.Count) apps named '$DisplayName'. Rename one at https://entra.microsoft.com first."
}
if ($found.Count -eq 1) {
    # Graph gives the certificates themselves only for a single app, and only when asked for them.
    $properties = 'id', 'appId', 'keyCredentials', 'passwordCredentials'
    $app = Get-MgApplication -ApplicationId $found[0].Id -Property $properties
}
elseif ($Undo) {
    Write-Output "There is no app named '$DisplayName': nothing to undo."
}
elseif ($PSCmdlet.ShouldProcess($DisplayName, 'Register the app, for this organization alone')) {
    $app = New-MgApplication -DisplayName $DisplayName -SignInAudience 'AzureADMyOrg'
}
if (-not $app) {
    return
}

if ($RemoveApp) {
    if ($PSCmdlet.ShouldProcess("$DisplayName ($($app.AppId))", 'Delete the app')) {
        Remove-MgApplication -ApplicationId $app.Id
    }
    return
}

$principal = Get-MgServicePrincipal -Filter "appId eq '$($app.AppId)'"
if (-not $principal -and -not $Undo) {
    if ($PSCmdlet.ShouldProcess($DisplayName, 'Make its enterprise application')) {
        $principal = New-MgServicePrincipal -AppId $app.AppId
    }
}

if ($certificate) {
    $present = $false
    $others = @(
        foreach ($key in $app.KeyCredentials) {
            if ($key.CustomKeyIdentifier -and
                [System.Convert]::ToHexString($key.CustomKeyIdentifier) -eq $certificate.Thumbprint) {
                $present = $true
            }
            else {
                @{
                    KeyId       = $key.KeyId
                    Type        = $key.Type
                    Usage       = $key.Usage
                    Key         = $key.Key
                    DisplayName = $key.DisplayName
                }
            }
        }
    )
    if ($Undo -and $present -and $PSCmdlet.ShouldProcess($certificate.Thumbprint, 'Take the certificate off')) {
        Update-MgApplication -ApplicationId $app.Id -KeyCredentials $others
    }
    if (-not $Undo -and -not $present -and $PSCmdlet.ShouldProcess($certificate.Thumbprint, 'Add the certificate')) {
        $added = @{
            Type        = 'AsymmetricX509Cert'
            Usage       = 'Verify'
            Key         = $certificate.RawData
            DisplayName = $certificate.Subject
        }
        Update-MgApplication -ApplicationId $app.Id -KeyCredentials ($others + $added)
    }
}

if ($SecretFile) {
    $secretPath = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($SecretFile)
    if (Test-Path -LiteralPath $secretPath) {
        Write-Output "$secretPath is there already: no secret was made."
    }
    elseif ($PSCmdlet.ShouldProcess($secretPath, "Make a client secret for $SecretDays days and write it there")) {
        # The file comes first, so that no secret is made that cannot be kept; readable for its owner alone.
        $options = [System.IO.FileStreamOptions]::new()
        $options.Mode = [System.IO.FileMode]::CreateNew
        $options.Access = [System.IO.FileAccess]::Write
        if (-not $IsWindows) {
            $options.UnixCreateMode = [System.IO.UnixFileMode] 'UserRead, UserWrite'
        }
        $writer = [System.IO.StreamWriter]::new($secretPath, $options)
        $written = $false
        try {
            $secret = Add-MgApplicationPassword -ApplicationId $app.Id -PasswordCredential @{
                DisplayName = 'Postern'
                EndDateTime = [System.DateTime]::UtcNow.AddDays($SecretDays)
            }
            $writer.Write($secret.SecretText)
            $written = $true
        }
        finally {
            $writer.Dispose()
            if (-not $written) {
                Remove-Item -LiteralPath $secretPath
            }
        }
        [pscustomobject] @{
            POSTERN_CLIENT_SECRET_FILE = $secretPath
            SecretId                   = $secret.KeyId
            LastDay                    = $secret.EndDateTime
        }
    }
}

if ($SecretId -ne [guid]::Empty) {
    $known = @(foreach ($password in $app.PasswordCredentials) { if ($password.KeyId -eq $SecretId) { $password } })
    if ($known.Count -gt 0 -and $PSCmdlet.ShouldProcess("secret $SecretId", 'Take off')) {
        Remove-MgApplicationPassword -ApplicationId $app.Id -KeyId $SecretId
    }
}

if ($principal) {
    $exchange = Get-MgServicePrincipal -Filter "appId eq '$exchangeOnline'"
    if (-not $exchange) {
        throw 'This organization has no Office 365 Exchange Online: it needs an Exchange Online license first.'
    }
    $permission = $exchange.AppRoles | Where-Object { $_.Value -eq 'SMTP.SendAsApp' }
    if (-not $permission) {
        throw 'Office 365 Exchange Online does not offer the permission SMTP.SendAsApp in this cloud.'
    }
    $granted = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -All |
        Where-Object { $_.ResourceId -eq $exchange.Id -and $_.AppRoleId -eq $permission.Id }

    if ($Undo -and $SmtpSendAsApp -and $granted) {
        if ($PSCmdlet.ShouldProcess($DisplayName, 'Take the permission SMTP.SendAsApp away')) {
            Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id `
                -AppRoleAssignmentId $granted.Id
        }
    }
    elseif ($SmtpSendAsApp -and -not $Undo -and -not $granted) {
        if ($PSCmdlet.ShouldProcess($DisplayName, 'Grant the permission SMTP.SendAsApp, with admin consent')) {
            New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -PrincipalId $principal.Id `
                -ResourceId $exchange.Id -AppRoleId $permission.Id | Out-Null
        }
    }
    elseif ($granted -and -not $SmtpSendAsApp -and -not $Undo) {
        Write-Warning ('The app has SMTP.SendAsApp, so Exchange asks for FullAccess to each mailbox. For RBAC for ' +
            'Applications take it away: ./Register-PosternApp.ps1 -Undo -SmtpSendAsApp')
    }
}

if ($principal -and $MessageTrace) {
    # Without this service principal Graph answers each request for the trace with 401.
    if (-not $Undo -and -not (Get-MgServicePrincipal -Filter "appId eq '$traceService'")) {
        if ($PSCmdlet.ShouldProcess($traceService, "Make the service principal of Microsoft's trace service")) {
            New-MgServicePrincipal -AppId $traceService | Out-Null
        }
    }
    $microsoftGraph = Get-MgServicePrincipal -Filter "appId eq '$graph'"
    $traceRead = $microsoftGraph.AppRoles | Where-Object { $_.Value -eq 'ExchangeMessageTrace.Read.All' }
    if (-not $traceRead) {
        throw 'Microsoft Graph does not offer the permission ExchangeMessageTrace.Read.All in this cloud.'
    }
    $held = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -All |
        Where-Object { $_.ResourceId -eq $microsoftGraph.Id -and $_.AppRoleId -eq $traceRead.Id }
    if ($Undo -and $held) {
        if ($PSCmdlet.ShouldProcess($DisplayName, 'Take the permission ExchangeMessageTrace.Read.All away')) {
            Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id `
                -AppRoleAssignmentId $held.Id
        }
    }
    elseif (-not $Undo -and -not $held) {
        if ($PSCmdlet.ShouldProcess($DisplayName, 'Grant ExchangeMessageTrace.Read.All, with admin consent')) {
            New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $principal.Id -PrincipalId $principal.Id `
                -ResourceId $microsoftGraph.Id -AppRoleId $traceRead.Id | Out-Null
        }
    }
}

if (-not $Undo -and $principal) {
    [pscustomobject] @{
        POSTERN_TENANT_ID = $context.TenantId
        POSTERN_CLIENT_ID = $app.AppId
        ObjectId          = $principal.Id
    }
}
