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
For -SmtpSendAsApp: Connect-MgGraph -Scopes Application.ReadWrite.All, AppRoleAssignment.ReadWrite.All

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

.PARAMETER Undo
Takes away what the other parameters name: -CertificateFile, -SecretId, -SmtpSendAsApp, or with -RemoveApp all of it.

.PARAMETER SecretId
With -Undo: the secret's id, as it was printed when it was made.

.PARAMETER RemoveApp
With -Undo: deletes the app. Entra keeps a deleted app for 30 days.

.EXAMPLE
./Register-PosternApp.ps1 -CertificateFile postern.cer

.EXAMPLE
./Register-PosternApp.ps1 -SecretFile secret.txt -SmtpSendAsApp

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
    [Parameter(ParameterSetName = 'Undo', Mandatory)] [switch] $Undo,
    [Parameter(ParameterSetName = 'Undo')] [guid] $SecretId = [guid]::Empty,
    [Parameter(ParameterSetName = 'Undo')] [switch] $RemoveApp
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
# A module's functions do not see the preference of the script that calls them.
$PSDefaultParameterValues = @{ '*:ErrorAction' = 'Stop' }

# Microsoft's id of Office 365 Exchange Online, the same in every organization. The permission's id is looked up there.
$exchangeOnline = '00000002-0000-0ff1-ce00-000000000000'

$context = Get-MgContext
if (-not $context) {
    throw 'Sign in first: Connect-MgGraph -Scopes Application.ReadWrite.All'
}
if ($Undo -and -not ($CertificateFile -or $SmtpSendAsApp -or $RemoveApp -or $SecretId -ne [guid]::Empty)) {
    throw 'Say what to undo: -CertificateFile, -SecretId, -SmtpSendAsApp or -RemoveApp.'
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

if (-not $Undo -and $principal) {
    [pscustomobject] @{
        POSTERN_TENANT_ID = $context.TenantId
        POSTERN_CLIENT_ID = $app.AppId
        ObjectId          = $principal.Id
    }
}
