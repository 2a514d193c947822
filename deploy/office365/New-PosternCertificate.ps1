#Requires -Version 7.4
<#
.SYNOPSIS
Makes a key and a self-signed certificate with which Postern proves to Microsoft Entra ID who it is.

.DESCRIPTION
Writes two files: <Path> with the RSA key and the certificate (PEM, for Postern alone: POSTERN_CLIENT_CERTIFICATE), and
beside it the certificate alone with the ending .cer (for Entra: Register-PosternApp.ps1). Works on Windows, Linux and
macOS and needs no module and no sign-in. The key never leaves this machine. If <Path> is there, nothing is changed.

.PARAMETER Path
The file for Postern, such as postern.pem.

.PARAMETER Subject
The name in the certificate. It is only seen in Entra's list of the app's certificates.

.PARAMETER Days
How long it is valid. Microsoft documents one year as the most that an app's certificate may have.

.PARAMETER Undo
Deletes both files. Take the certificate off the app first: Register-PosternApp.ps1 -Undo -CertificateFile postern.cer

.EXAMPLE
./New-PosternCertificate.ps1 -Path postern.pem

.EXAMPLE
./New-PosternCertificate.ps1 -Path postern.pem -Undo

.LINK
https://learn.microsoft.com/dotnet/api/system.security.cryptography.x509certificates.certificaterequest
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)] [ValidateNotNullOrEmpty()] [string] $Path,
    [ValidatePattern('^CN=')] [string] $Subject = 'CN=postern',
    [ValidateRange(1, 365)] [int] $Days = 365,
    [switch] $Undo
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$pemFile = $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Path)
$cerFile = [System.IO.Path]::ChangeExtension($pemFile, '.cer')
if ($pemFile -eq $cerFile) {
    throw 'The file for Postern must not end in .cer: that is the one for Entra. Give -Path postern.pem.'
}

if ($Undo) {
    foreach ($file in $pemFile, $cerFile) {
        if ((Test-Path -LiteralPath $file) -and $PSCmdlet.ShouldProcess($file, 'Delete')) {
            Remove-Item -LiteralPath $file
        }
    }
    return
}

foreach ($file in $pemFile, $cerFile) {
    if (Test-Path -LiteralPath $file) {
        Write-Output "$file is there already: nothing was changed. For another certificate give another -Path."
        return
    }
}

if ($PSCmdlet.ShouldProcess($pemFile, "Write a new RSA key and a certificate for $Days days")) {
    $key = [System.Security.Cryptography.RSA]::Create(3072)
    $request = [System.Security.Cryptography.X509Certificates.CertificateRequest]::new(
        $Subject,
        $key,
        [System.Security.Cryptography.HashAlgorithmName]::SHA256,
        [System.Security.Cryptography.RSASignaturePadding]::Pkcs1
    )
    $begin = [System.DateTimeOffset]::UtcNow
    $certificate = $request.CreateSelfSigned($begin, $begin.AddDays($Days))

    # The file is made readable for its owner alone before the key is in it. On Windows the folder decides who reads it.
    $options = [System.IO.FileStreamOptions]::new()
    $options.Mode = [System.IO.FileMode]::CreateNew
    $options.Access = [System.IO.FileAccess]::Write
    if (-not $IsWindows) {
        $options.UnixCreateMode = [System.IO.UnixFileMode] 'UserRead, UserWrite'
    }
    $writer = [System.IO.StreamWriter]::new($pemFile, $options)
    try {
        $writer.Write($key.ExportPkcs8PrivateKeyPem() + "`n" + $certificate.ExportCertificatePem() + "`n")
    }
    finally {
        $writer.Dispose()
    }
    [System.IO.File]::WriteAllBytes($cerFile, $certificate.RawData)

    [pscustomobject] @{
        POSTERN_CLIENT_CERTIFICATE = $pemFile
        ForEntra                   = $cerFile
        Thumbprint                 = $certificate.Thumbprint
        LastDay                    = $certificate.NotAfter
    }
}
